"""What users get back: frozen, slotted records. What users give is in `spec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from .errors import CommandFailedError
from .results import CodeError, Execution, Logs, OutputText, Result

__all__ = [
    "CodeError",
    "CommandOutput",
    "CommandResult",
    "ContextInfo",
    "Cursor",
    "Execution",
    "FileEvent",
    "FileEventKind",
    "FileInfo",
    "FileType",
    "Logs",
    "OutputChunk",
    "OutputText",
    "ProcessInfo",
    "Result",
    "SandboxInfo",
    "SandboxMetrics",
    "SandboxState",
    "SnapshotInfo",
    "SnapshotKind",
    "StreamName",
    "TerminalSize",
]

StreamName = Literal["stdout", "stderr"]
SandboxState = Literal["running", "paused"]
SnapshotKind = Literal["filesystem", "memory"]
FileType = Literal["file", "directory", "symlink", "other"]
FileEventKind = Literal["created", "modified", "attributes", "removed", "renamed", "overflow"]


class Cursor(NamedTuple):
    """How far into a process's two streams a reader has come, in bytes."""

    stdout: int = 0
    stderr: int = 0


class TerminalSize(NamedTuple):
    """How large a terminal is, in characters."""

    rows: int = 24
    columns: int = 80


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """A piece of a process's output, as it arrived.

    Attributes:
        stream: which stream.
        data: the bytes.
        offset: where they begin in the stream, in bytes.
    """

    stream: StreamName
    data: bytes
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutput:
    """What a command wrote.

    Attributes:
        stdout_bytes: its standard output, the last ``max_output`` bytes of it.
        stderr_bytes: its standard error, likewise.
        stdout_total: bytes written in all, kept or not.
        stderr_total: likewise.
        duration: seconds from start to exit, or until it was given up.
        applied_timeout: the timeout that was in force, in seconds, or ``None``.
        command: what was run, for messages.
    """

    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    stdout_total: int = 0
    stderr_total: int = 0
    duration: float = 0.0
    applied_timeout: float | None = None
    command: str = ""

    @property
    def stdout(self) -> str:
        """The standard output as text; what is not UTF-8 becomes U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """The standard error as text; what is not UTF-8 becomes U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def stdout_truncated(self) -> bool:
        """Whether only the tail of the standard output was kept."""
        return self.stdout_total > len(self.stdout_bytes)

    @property
    def stderr_truncated(self) -> bool:
        """Whether only the tail of the standard error was kept."""
        return self.stderr_total > len(self.stderr_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult(CommandOutput):
    """How a command ended, and what it wrote.

    Attributes:
        exit_code: 0-255; 128+n when signal n ended it.
        signal: the signal that ended it, else ``None``.
        oom: whether the kernel's out-of-memory killer ended it.
        timed_out: whether its timeout ended it.
    """

    exit_code: int
    signal: int | None = None
    oom: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether the command exited with status 0."""
        return self.exit_code == 0

    def check(self) -> CommandResult:
        """Return this result if the command succeeded.

        Raises:
            CommandFailedError: it did not.
        """
        if self.ok:
            return self
        how = f"was ended by signal {self.signal}" if self.signal else f"exited {self.exit_code}"
        tail = self.stderr.strip()[-500:] or self.stdout.strip()[-500:]
        raise CommandFailedError(
            f"{self.command or 'the command'} {how}" + (f": {tail}" if tail else ""),
            result=self,
            op="run",
        )


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process that was started through sandboxkit.

    Attributes:
        pid: its number inside the sandbox.
        command: what it runs, for people to read.
        running: whether it has not exited yet.
        exit_code: as in `CommandResult`, once it has.
        started_at: when it was started.
        terminal: whether it runs on a terminal.
        stdout_total: bytes it has written so far; ``None`` where the provider cannot tell.
        stderr_total: likewise.
    """

    pid: int
    command: str
    running: bool
    exit_code: int | None
    started_at: datetime
    terminal: bool = False
    stdout_total: int | None = None
    stderr_total: int | None = None


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known of a file without opening it.

    Attributes:
        path: absolute, inside the sandbox.
        type: ``file``, ``directory``, ``symlink`` or ``other``; of the link itself, not its target.
        size: bytes.
        mode: permission bits, such as ``0o644``.
        owner: user name, or the number where it has none.
        group: group name, or the number.
        modified_at: when its content last changed.
        target: where a symlink points, else ``None``.
    """

    path: str
    type: FileType
    size: int
    mode: int
    owner: str
    group: str
    modified_at: datetime
    target: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2] or "/"

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.type == "directory"


@dataclass(frozen=True, slots=True)
class FileEvent:
    """Something that happened in a directory that is watched.

    Attributes:
        kind: ``created``, ``modified`` (its content), ``attributes`` (mode, owner, times),
            ``removed``, ``renamed``, or ``overflow``: some events were lost, and all that is there
            follows as ``created``, as if the directory had been empty.
            What is moved in from where nobody watches is ``created``, what is moved out
            ``removed``.
        path: absolute, inside the sandbox; of what happened to, before it was renamed.
        type: what it is, or was.
        target: the new path of what was renamed, else ``None``.
    """

    kind: FileEventKind
    path: str
    type: FileType = "other"
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxMetrics:
    """What a sandbox used at one moment. ``None`` is what the provider cannot tell.

    Attributes:
        at: the moment.
        cpu_seconds: cpu time used since it was made, over all cores.
        cpu_limit: cores it may use at once, or ``None`` for no limit.
        memory_used: bytes.
        memory_limit: bytes, or ``None`` for no limit.
        disk_used: bytes it has written and not removed.
        disk_limit: bytes, or ``None`` for no limit.
        processes: how many there are in it.
    """

    at: datetime
    cpu_seconds: float | None = None
    cpu_limit: float | None = None
    memory_used: int | None = None
    memory_limit: int | None = None
    disk_used: int | None = None
    disk_limit: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """What a provider says about one of its sandboxes.

    Attributes:
        id: the provider's own identifier.
        provider: the provider's name.
        state: ``running`` or ``paused``.
        template: the provider's own name of what it started from.
        isolation: how it is kept apart: ``namespaces``, ``container``, ``user-kernel``,
            ``microvm``, ``remote``, or ``none`` for a model that runs nothing.
        created_at: when it was created.
        expires_at: when its lifetime ends, or ``None`` if it has none; of a paused one, when it
            ends unless it is resumed.
        labels: who made it: ``owner``, ``session``, ``nonce`` and what the provider adds.
        metadata: what the user attached.
        workdir: where relative paths start.
        user: who commands run as.
        shell: what runs a command given as text.
        python: the interpreter that serves ``run_code`` in Python, a path inside; empty where the
            provider does not say.
        unenforced: requested fields that are not enforced here (``best_effort=True`` only).
        network: what it may reach, as it is enforced: ``none``, ``full``, or hosts and networks;
            ``None`` if the provider does not say.
    """

    id: str
    provider: str
    state: SandboxState = "running"
    template: str = ""
    isolation: str = "none"
    created_at: datetime
    expires_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/home/user"
    user: str = "user"
    shell: str = "bash -c"
    python: str = ""
    unenforced: tuple[str, ...] = ()
    network: Literal["none", "full"] | tuple[str, ...] | None = None

    @property
    def address(self) -> str:
        """``provider:id``, good for `connect` in any process."""
        return f"{self.provider}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """Saved state to create sandboxes from.

    Attributes:
        id: the provider's own identifier.
        provider: the provider's name.
        name: unique per owner, or ``None``.
        kind: ``filesystem`` or ``memory``.
        created_at: when it was taken.
        expires_at: when it ends, or ``None``.
        size: bytes stored, or ``None`` where the provider does not say.
        labels: who made it.
    """

    id: str
    provider: str
    name: str | None = None
    kind: SnapshotKind = "filesystem"
    created_at: datetime
    expires_at: datetime | None = None
    size: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """``provider:id``, good for ``create(snapshot=...)`` in any process."""
        return f"{self.provider}:{self.id}"


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """Where code runs and its variables live.

    Attributes:
        id: names it in `run_code`.
        language: such as ``python``.
        cwd: its working directory when it was made.
    """

    id: str
    language: str
    cwd: str
