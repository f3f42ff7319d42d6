"""The class that a provider plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from ..capabilities import METHODS, Capabilities
from ..errors import UnsupportedError
from ..models import (
    ContextInfo,
    FileInfo,
    ProcessInfo,
    SandboxInfo,
    SandboxMetrics,
    SnapshotInfo,
)
from .code import CodeStream, ContextRequest, CreateContextRequest, RunCodeRequest
from .files import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    WatchRequest,
    WatchStream,
    WriteFileRequest,
)
from .lifecycle import (
    CreateRequest,
    ForkRequest,
    KillRequest,
    LifetimeRequest,
    ListRequest,
    PauseRequest,
    ProviderSettings,
    ResumeRequest,
    SandboxRequest,
)
from .ports import ConnectPortRequest, PortStream, PortURL, PortURLRequest
from .processes import AttachRequest, ProcessStream, StartRequest
from .snapshots import SnapshotIdRequest, SnapshotListRequest, SnapshotRequest
from .trees import (
    DigestManyRequest,
    NotStored,
    ReadManyRequest,
    StatManyRequest,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WriteManyRequest,
)

__all__ = ["Provider"]


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

    async def survey(self) -> Capabilities:
        """What it can do where it is connected to, which may be more than it declares.

        Asked when something is wanted that it does not declare, before anything is made.
        """
        return self.capabilities

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

    def walk_tree(self, request: WalkTreeRequest) -> AsyncIterator[Sequence[TreeEntry]]:
        """All in a directory, by the batch, however much it is.

        What cannot be read carries the reason; errors of the top are raised.
        """
        raise self._undeclared("trees")

    async def stat_many(self, request: StatManyRequest) -> Sequence[TreeEntry | None]:
        """What is there, in the order of the names; ``None`` for nothing.

        Where there is only a part of a file that has not come whole, the type is ``other``.
        """
        raise self._undeclared("trees")

    async def digest_many(self, request: DigestManyRequest) -> Sequence[str | None]:
        """SHA-256 checksums, in order, as hexadecimal digits.

        ``None`` for what is not there, is shorter, or cannot be read.
        """
        raise self._undeclared("trees")

    def read_many(self, request: ReadManyRequest) -> AsyncIterator[Sequence[TreePart]]:
        """The parts of the files that were asked for, in order, by the batch."""
        raise self._undeclared("trees")

    async def write_many(self, request: WriteManyRequest) -> Sequence[NotStored]:
        """Store what comes; raises at the first thing that the system refuses.

        Returns:
            What this provider has no means to store.
        """
        raise self._undeclared("trees")

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        """Change when the sandbox ends."""
        raise self._undeclared("lifetime_update")

    async def watch(self, request: WatchRequest) -> WatchStream:
        """Watch a directory; returns once the watch is set.

        Raises:
            PathNotFoundError: there is no such directory.
            PathNotDirectoryError: it is something else.
            RateLimitError: there are more directories than can be watched.
        """
        raise self._undeclared("watch")

    async def connect_port(self, request: ConnectPortRequest) -> PortStream:
        """Connect to a port inside, which needs no network.

        Raises:
            PortRefusedError: nobody listens there, or not within ``wait``.
        """
        raise self._undeclared("ports")

    async def port_url(self, request: PortURLRequest) -> PortURL:
        """Where the provider itself serves a port, with the headers that must be sent, if any.

        Raises:
            PortRefusedError: nobody listens there, as far as the provider can tell.
        """
        raise self._undeclared("port_urls")

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        """What a sandbox uses now."""
        raise self._undeclared("metrics")

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        """Pause a sandbox; returns when it is."""
        raise self._undeclared("pause")

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        """Let a paused sandbox go on; returns when it does."""
        raise self._undeclared("pause")

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        """Make several sandboxes from this one, all or none."""
        raise self._undeclared("fork")

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
            hint="sandboxkit providers",
            provider=self.name,
        )
