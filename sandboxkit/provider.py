"""The interface that a provider plugin implements (the SPI).

Async only. Each operation takes one frozen request object, so that a new option is a new field
and breaks no plugin. A provider reports facts; the contract (deadlines, cancellation, drain,
bounds, exit codes, outcome, retry) is the core's.

Required are `create`, `connect`, `list`, `kill`, `start`, `read_file` and `write_file`.
Everything else is a declared capability with its methods, see `capabilities.METHODS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from .capabilities import METHODS, Capabilities
from .errors import UnsupportedError
from .models import (
    CodeError,
    ContextInfo,
    Cursor,
    FileInfo,
    OutputChunk,
    ProcessInfo,
    Result,
    SandboxInfo,
    SandboxState,
    SnapshotInfo,
    SnapshotKind,
    StreamName,
)

__all__ = [
    "AttachRequest",
    "Closed",
    "CodeEnded",
    "CodeEvent",
    "CodeOutput",
    "CodeRaised",
    "CodeResult",
    "CodeStream",
    "ContextRequest",
    "CreateContextRequest",
    "CreateRequest",
    "Exited",
    "Gap",
    "KillRequest",
    "LifetimeRequest",
    "ListFilesRequest",
    "ListRequest",
    "MkdirRequest",
    "PathRequest",
    "ProcessEvent",
    "ProcessStream",
    "Provider",
    "ProviderSettings",
    "ReadFileRequest",
    "RemoveRequest",
    "RenameRequest",
    "RunCodeRequest",
    "SandboxRequest",
    "SnapshotIdRequest",
    "SnapshotListRequest",
    "SnapshotRequest",
    "StartRequest",
    "WriteFileRequest",
]

KILL_GRACE = 0.5
"""Seconds between the polite and the final signal when a process tree is ended."""


class ProviderSettings(BaseModel):
    """What a profile may say to a provider beyond the common fields; providers subclass it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# -- lifecycle ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """Make a sandbox. Every field is already resolved and checked against the capabilities.

    Attributes:
        nonce: unique to this request; also in `labels`. The same nonce never makes two sandboxes.
        template: the provider's own name of what to start from; ``None`` is its default.
        image: a container image to start from instead (capability ``images``).
        snapshot: the id of a snapshot to start from instead.
        lifetime: seconds until the sandbox ends by itself; ``None`` is for ever.
        create_timeout: seconds by which it must be ready.
        env: set for every command.
        workdir: where relative paths start; ``None`` is the template's.
        user: who commands run as; ``None`` is the template's.
        labels: who made it (``owner``, ``session``, ``nonce``, ``expires_at``).
        metadata: what the user attached.
        cpu: cores, may be fractional; ``None`` is the provider's default.
        memory: bytes; disk: bytes; pids: a count. ``None`` is the provider's default.
        network: ``"none"``, ``"full"``, or the hosts and networks that may be reached.
        best_effort: limits that cannot be enforced are named in ``SandboxInfo.unenforced``
            instead of being refused.
        options: for this provider alone, passed through.
    """

    nonce: str
    template: str | None = None
    image: str | None = None
    snapshot: str | None = None
    lifetime: float | None = 3600.0
    create_timeout: float = 120.0
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    pids: int | None = None
    network: Literal["none", "full"] | tuple[str, ...] = "none"
    best_effort: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """An operation on one sandbox."""

    sandbox_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRequest(SandboxRequest):
    """End a sandbox and everything in it, and return once that is verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeRequest(SandboxRequest):
    """Let the sandbox end `lifetime` seconds from now, or never if it is ``None``."""

    lifetime: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """List sandboxes, over all pages.

    Attributes:
        labels: only those that carry all of these labels.
        metadata: only those that carry all of this metadata.
        state: only those in this state.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: SandboxState | None = None


# -- processes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest(SandboxRequest):
    """Start a process.

    Attributes:
        command: text for the shell, or an argument vector that no shell sees.
        cwd: absolute; it must exist.
        env: on top of the sandbox's.
        user: who runs it; ``None`` is the sandbox's.
        stdin: whether it gets a pipe; else ``/dev/null``.
        timeout: seconds after which the provider ends the whole tree and reports
            ``Exited(timed_out=True)``; ``None`` is never.
        grace: seconds between SIGTERM and SIGKILL then.
        bound: whether it dies when this client is gone for good (`run`), or lives on (`start`).
    """

    command: str | tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stdin: bool = False
    timeout: float | None = None
    grace: float = KILL_GRACE
    bound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest(SandboxRequest):
    """Listen to a process that runs already, from a place in its output."""

    pid: int
    cursor: Cursor = field(default_factory=Cursor)


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended. Output may still follow until `Closed`.

    Attributes:
        code: its status 0-255 if it exited, else ``None``.
        signal: the signal that ended it, else ``None``.
        timed_out: whether the provider ended it at its timeout.
        oom: whether the out-of-memory killer did.
    """

    code: int | None
    signal: int | None = None
    timed_out: bool = False
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """Both output streams reached their end; the last event."""


@dataclass(frozen=True, slots=True)
class Gap:
    """This listener missed bytes `start` to `end` of a stream; they are kept nowhere."""

    stream: StreamName
    start: int
    end: int


ProcessEvent = OutputChunk | Gap | Exited | Closed


class ProcessStream(ABC):
    """A live process: its events, its input and its end.

    Attributes:
        pid: its number inside the sandbox.
    """

    pid: int

    @abstractmethod
    def events(self) -> AsyncIterator[ProcessEvent]:
        """Everything that happens to it, `Exited` once, `Closed` last. Iterated once.

        A transport that breaks is mended here where the provider can resume.

        Raises:
            ExecLostError: no terminal event can be had any more.
        """

    @abstractmethod
    async def send_stdin(self, data: bytes) -> None:
        """Write to its standard input; waits while the process does not read.

        Raises:
            BrokenPipeError: it has closed its input or ended.
        """

    @abstractmethod
    async def close_stdin(self) -> None:
        """Let it see the end of its standard input."""

    @abstractmethod
    async def signal(self, signum: int) -> None:
        """Deliver a signal to the process itself.

        Raises:
            ProcessNotFoundError: it has ended.
        """

    @abstractmethod
    async def terminate(self, grace: float = KILL_GRACE) -> None:
        """End it and all its descendants: SIGTERM, `grace` seconds, SIGKILL. Idempotent."""

    @abstractmethod
    async def detach(self) -> None:
        """Stop listening. The process lives on and never blocks on its output. Idempotent."""


# -- files --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRequest(SandboxRequest):
    """An operation on one path; always absolute.

    Attributes:
        user: who does it; ``None`` is the sandbox's user.
    """

    path: str
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFileRequest(PathRequest):
    """Read a file from byte `offset`, `length` bytes or to its end."""

    offset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFileRequest(PathRequest):
    """Replace a file's content at once: readers see the old content or the new, nothing between.

    Attributes:
        data: the content in chunks of any size.
        mode: permission bits; ``None`` keeps those of the file replaced, else ``0o644``.
    """

    data: AsyncIterator[bytes]
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilesRequest(PathRequest):
    """List a directory, `depth` levels deep."""

    depth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MkdirRequest(PathRequest):
    """Make a directory.

    Attributes:
        parents: make missing parents too, and do not mind if it is there already.
        mode: permission bits.
    """

    parents: bool = True
    mode: int = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRequest(PathRequest):
    """Remove a file or, if `recursive`, a directory with all that is in it."""

    recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRequest(PathRequest):
    """Rename `path` to `target`, replacing a file that is there."""

    target: str


# -- code ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContextRequest(SandboxRequest):
    """Make a place for code to run in."""

    language: str = "python"
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRequest(SandboxRequest):
    """An operation on one context."""

    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCodeRequest(SandboxRequest):
    """Run a cell.

    Attributes:
        context: where; ``None`` is the language's default context, made when first used.
        env: set for this cell alone.
        timeout: seconds after which the cell is interrupted, and if it does not mind that
            within `grace` seconds, its interpreter killed.
    """

    code: str
    language: str = "python"
    context: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    grace: float = 2.0


@dataclass(frozen=True, slots=True)
class CodeOutput:
    """The cell printed something."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The cell showed something."""

    result: Result


@dataclass(frozen=True, slots=True)
class CodeRaised:
    """The cell raised."""

    error: CodeError


@dataclass(frozen=True, slots=True)
class CodeEnded:
    """The last event.

    Attributes:
        context: where the cell ran.
        execution_count: how many cells it has run.
        timed_out: whether the timeout ended the cell.
        restarted: whether the interpreter died and the context's variables with it.
        exit_code: of a bash cell.
    """

    context: str
    execution_count: int
    timed_out: bool = False
    restarted: bool = False
    exit_code: int | None = None


CodeEvent = CodeOutput | CodeResult | CodeRaised | CodeEnded


class CodeStream(ABC):
    """A cell that is running."""

    @abstractmethod
    def events(self) -> AsyncIterator[CodeEvent]:
        """What it does, `CodeEnded` last. Iterated once.

        Raises:
            ExecLostError: no terminal event can be had any more.
        """

    @abstractmethod
    async def interrupt(self) -> None:
        """Stop the cell as Ctrl-C would, then by force; returns when it is over. Idempotent."""

    @abstractmethod
    async def detach(self) -> None:
        """Let go of the stream. Idempotent."""


# -- snapshots ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest(SandboxRequest):
    """Save a sandbox's state; the sandbox goes on.

    Attributes:
        name: unique per owner; ``None`` is nameless.
        lifetime: seconds until the snapshot ends; ``None`` is never.
    """

    name: str | None = None
    kind: SnapshotKind = "filesystem"
    lifetime: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotListRequest:
    """List snapshots that carry all of these labels, over all pages."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotIdRequest:
    """An operation on one snapshot."""

    snapshot_id: str


# -- the provider -------------------------------------------------------------------------------


class Provider(ABC):
    """What makes sandboxes. One instance serves one event loop.

    A subclass is refused when its declared capabilities and its overridden methods disagree.

    Attributes:
        name: lower case; also the first half of every address.
        capabilities: what it does natively; an instance may only narrow its class's.
        settings_type: what a profile may configure; validated before the provider is made.
    """

    name: str
    capabilities: Capabilities
    settings_type: ClassVar[type[ProviderSettings]] = ProviderSettings

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        for required in ("name", "capabilities"):
            if not hasattr(cls, required):
                raise TypeError(f"{cls.__name__} must set {required!r}")
        flags = cls.capabilities.flags()
        for capability, methods in METHODS.items():
            for method in methods:
                overridden = getattr(cls, method) is not getattr(Provider, method)
                if flags[capability] and not overridden:
                    raise TypeError(
                        f"{cls.__name__} declares {capability!r} but does not override {method!r}"
                    )
                if overridden and not flags[capability]:
                    raise TypeError(
                        f"{cls.__name__} overrides {method!r} but does not declare {capability!r}"
                    )

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Make a sandbox; return when commands can run in it.

        Raises:
            TemplateNotFoundError: the template means nothing here.
            SnapshotNotFoundError: there is no such snapshot.
            ProviderUnavailableError: the provider cannot work here.
        """

    @abstractmethod
    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        """Say what is known of a live sandbox, ready to be used.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """

    @abstractmethod
    def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        """Every live sandbox of this account that fits, over all pages."""

    @abstractmethod
    async def kill(self, request: KillRequest) -> bool:
        """End a sandbox; true if it was there. Returns only when it is really gone."""

    @abstractmethod
    async def start(self, request: StartRequest) -> ProcessStream:
        """Start a process.

        Raises:
            PathNotFoundError: ``cwd`` does not exist.
            InvalidRequestError: there is no such user.
            SandboxNotFoundError: the sandbox has ended.
        """

    @abstractmethod
    def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        """The content in chunks. Raises `FileError` as the first chunk is asked for."""

    @abstractmethod
    async def write_file(self, request: WriteFileRequest) -> None:
        """Write a file atomically, making its parents."""

    async def aclose(self) -> None:
        """Let go of connections. Sandboxes live on."""
        return

    def native(self, sandbox_id: str) -> object:
        """The SDK's own object for a sandbox, for what this interface does not cover."""
        return None

    async def attach(self, request: AttachRequest) -> ProcessStream:
        """Listen to a process that was started earlier, perhaps by another client."""
        raise self._undeclared("attach")

    async def list_processes(self, request: SandboxRequest) -> Sequence[ProcessInfo]:
        """What was started through sandboxkit and is still running or remembered."""
        raise self._undeclared("attach")

    async def stat(self, request: PathRequest) -> FileInfo:
        """What is known of a path, links not followed."""
        raise self._undeclared("file_ops")

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        """What is in a directory, by path."""
        raise self._undeclared("file_ops")

    async def mkdir(self, request: MkdirRequest) -> None:
        """Make a directory."""
        raise self._undeclared("file_ops")

    async def remove(self, request: RemoveRequest) -> None:
        """Remove a file or directory."""
        raise self._undeclared("file_ops")

    async def rename(self, request: RenameRequest) -> None:
        """Rename a file or directory."""
        raise self._undeclared("file_ops")

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        """Change when the sandbox ends."""
        raise self._undeclared("lifetime_update")

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        """Run a cell of code."""
        raise self._undeclared("code")

    async def create_context(self, request: CreateContextRequest) -> ContextInfo:
        """Make a context."""
        raise self._undeclared("code")

    async def list_contexts(self, request: SandboxRequest) -> Sequence[ContextInfo]:
        """The contexts that are there."""
        raise self._undeclared("code")

    async def restart_context(self, request: ContextRequest) -> ContextInfo:
        """Start a context anew, its variables gone, its id kept."""
        raise self._undeclared("code")

    async def remove_context(self, request: ContextRequest) -> None:
        """End a context."""
        raise self._undeclared("code")

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Save a sandbox's state."""
        raise self._undeclared("snapshots")

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        """Every snapshot of this account that fits, over all pages."""
        raise self._undeclared("snapshots")

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        """Delete a snapshot; true if it was there."""
        raise self._undeclared("snapshots")

    def _undeclared(self, capability: str) -> UnsupportedError:
        return UnsupportedError(
            f"provider {self.name!r} does not support {capability}",
            capability=capability,
            provider=self.name,
        )
