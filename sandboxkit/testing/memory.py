"""The contract as a model: sandboxes that are dictionaries.

Lifecycle, files, snapshots and ownership behave as everywhere; commands are answered with what
a test scripted. It isolates nothing because it runs nothing.
"""

from __future__ import annotations

import fnmatch
import secrets
import shlex
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ..errors import (
    InvalidRequestError,
    SandboxNotFoundError,
    SandboxPausedError,
    SnapshotNotFoundError,
    TemplateNotFoundError,
    UnsupportedError,
)
from ..models import FileInfo, OutputChunk, SandboxInfo, SnapshotInfo
from ..provider import (
    Closed,
    CreateRequest,
    Exited,
    KillRequest,
    LifetimeRequest,
    ListFilesRequest,
    ListRequest,
    MkdirRequest,
    PathRequest,
    PauseRequest,
    ProcessEvent,
    ProcessStream,
    Provider,
    ProviderSettings,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    ResumeRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
    StartRequest,
    WriteFileRequest,
)
from .memory_files import Tree
from .plugin import CAPABILITIES

__all__ = ["MemoryProvider", "MemorySettings", "Reply", "World", "world"]

CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """What a scripted command answers.

    Attributes:
        stdout: its standard output.
        stderr: its standard error.
        exit_code: its status, 0-255.
        signal: the signal that ends it instead.
        oom: whether it counts as ended for want of memory.
    """

    stdout: bytes | str = b""
    stderr: bytes | str = b""
    exit_code: int = 0
    signal: int | None = None
    oom: bool = False


@dataclass(slots=True)
class _Sandbox:
    """A sandbox.

    Attributes:
        lifetime: seconds, as set last.
        on_timeout: what happens at its end.
        rest: of a paused one, how long its lifetime goes on once it is resumed.
    """

    info: SandboxInfo
    tree: Tree
    lifetime: float | None
    on_timeout: str
    rest: float | None = None

    def pause(self, now: datetime, lifetime: float | None) -> None:
        """Stand still, for at most `lifetime`; the rest of its own waits."""
        if self.info.state == "running":
            ends = self.info.expires_at
            self.rest = None if ends is None else (ends - now).total_seconds()
        self.info = replace(self.info, state="paused", expires_at=_after(now, lifetime))


@dataclass(slots=True)
class World:
    """Everything one memory provider knows; shared by its instances in this process."""

    sandboxes: dict[str, _Sandbox] = field(default_factory=dict)
    snapshots: dict[str, tuple[SnapshotInfo, Tree]] = field(default_factory=dict)
    replies: list[tuple[str, Reply]] = field(default_factory=list)

    def reply(self, command: str, answer: Reply) -> None:
        """Script the answer to commands that match a shell-style pattern; the newest wins."""
        self.replies.insert(0, (command, answer))

    def expire(self) -> None:
        """Let what is past its time end."""
        now = datetime.now(UTC)
        for identifier, sandbox in list(self.sandboxes.items()):
            if sandbox.info.expires_at is None or sandbox.info.expires_at > now:
                continue
            if sandbox.on_timeout == "pause" and sandbox.info.state == "running":
                sandbox.pause(now, 86_400.0)
                sandbox.rest = sandbox.lifetime
            else:
                del self.sandboxes[identifier]
        for identifier, (snapshot, _) in list(self.snapshots.items()):
            if snapshot.expires_at is not None and snapshot.expires_at <= now:
                del self.snapshots[identifier]


_worlds: dict[str, World] = {}


def world(name: str = "default") -> World:
    """The world of this name, made when first asked for."""
    return _worlds.setdefault(name, World())


class MemorySettings(ProviderSettings):
    """Settings of the memory provider.

    Attributes:
        world: sandboxes of one world do not see another's.
    """

    world: str = "default"


class MemoryProvider(Provider):
    """Sandboxes that are dictionaries."""

    name = "memory"
    capabilities = CAPABILITIES
    settings_type = MemorySettings

    def __init__(self, settings: ProviderSettings | None = None) -> None:
        settings = settings or MemorySettings()
        super().__init__(settings)
        self.world = world(settings.world if isinstance(settings, MemorySettings) else "default")

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """A new dictionary, or the one that this nonce made before."""
        self.world.expire()
        for sandbox in self.world.sandboxes.values():
            if sandbox.info.labels.get("nonce") == request.nonce:
                return sandbox.info
        if request.template not in (None, "python", "default"):
            raise TemplateNotFoundError(f"the memory provider has no template {request.template!r}")
        workdir = request.workdir or "/home/user"
        tree = self._origin(request.snapshot)
        for path in ("/tmp", "/home/user", workdir):
            tree.mkdir(path, parents=True, mode=0o755, owner="user")
        now = datetime.now(UTC)
        info = SandboxInfo(
            id=secrets.token_hex(8),
            provider=self.name,
            template=request.template or "",
            isolation=self.capabilities.isolation,
            created_at=now,
            expires_at=_after(now, request.lifetime),
            labels=dict(request.labels),
            metadata=dict(request.metadata),
            workdir=workdir,
            network=request.network,
        )
        self.world.sandboxes[info.id] = _Sandbox(info, tree, request.lifetime, request.on_timeout)
        return info

    def _origin(self, snapshot: str | None) -> Tree:
        if snapshot is None:
            return Tree()
        if snapshot not in self.world.snapshots:
            raise SnapshotNotFoundError(f"there is no snapshot {self.name}:{snapshot}")
        return self.world.snapshots[snapshot][1].copy()

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        """What is known of it."""
        return self._found(request).info

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        """All that fit."""
        self.world.expire()
        for sandbox in list(self.world.sandboxes.values()):
            info = sandbox.info
            if request.labels.items() <= dict(info.labels).items() and (
                request.metadata.items() <= dict(info.metadata).items()
                and request.state in (None, info.state)
            ):
                yield info

    async def kill(self, request: KillRequest) -> bool:
        """Forget it."""
        self.world.expire()
        return self.world.sandboxes.pop(request.sandbox_id, None) is not None

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        """Change its end."""
        sandbox = self._found(request)
        sandbox.lifetime = request.lifetime
        if sandbox.info.state == "paused":
            sandbox.rest = request.lifetime
            return sandbox.info
        ends = _after(datetime.now(UTC), request.lifetime)
        sandbox.info = replace(sandbox.info, expires_at=ends)
        return sandbox.info

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        """Let it stand still."""
        sandbox = self._found(request)
        sandbox.pause(datetime.now(UTC), request.lifetime)
        return sandbox.info

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        """Let it go on."""
        sandbox = self._found(request)
        if sandbox.info.state == "paused":
            ends = _after(datetime.now(UTC), sandbox.rest)
            sandbox.info = replace(sandbox.info, state="running", expires_at=ends)
        return sandbox.info

    async def start(self, request: StartRequest) -> ProcessStream:
        """Answer as scripted."""
        self._sandbox(request)
        command = request.command
        text = command if isinstance(command, str) else shlex.join(command)
        for pattern, reply in self.world.replies:
            if fnmatch.fnmatchcase(text, pattern):
                return _Scripted(reply)
        raise UnsupportedError(
            f"the memory provider runs no commands, and no reply was scripted for {text!r}",
            capability="commands",
            provider=self.name,
            hint="sandboxkit.testing.world().reply(command, Reply(...))",
        )

    async def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        """The bytes."""
        content = self._sandbox(request).tree.read(request.path)
        end = len(content) if request.length is None else request.offset + request.length
        for start in range(request.offset, min(end, len(content)), CHUNK):
            yield content[start : min(start + CHUNK, end)]

    async def write_file(self, request: WriteFileRequest) -> None:
        """Keep the bytes, once all of them have come."""
        tree = self._sandbox(request).tree
        content = b"".join([piece async for piece in request.data])
        tree.write(request.path, content, request.mode, request.user or "user")

    async def stat(self, request: PathRequest) -> FileInfo:
        """What is known."""
        return self._sandbox(request).tree.stat(request.path)

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        """What is there."""
        return self._sandbox(request).tree.entries(request.path, request.depth)

    async def mkdir(self, request: MkdirRequest) -> None:
        """Make a directory."""
        owner = request.user or "user"
        tree = self._sandbox(request).tree
        tree.mkdir(request.path, parents=request.parents, mode=request.mode, owner=owner)

    async def remove(self, request: RemoveRequest) -> None:
        """Remove."""
        self._sandbox(request).tree.remove(request.path, recursive=request.recursive)

    async def rename(self, request: RenameRequest) -> None:
        """Rename."""
        self._sandbox(request).tree.rename(request.path, request.target)

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Copy the dictionary."""
        sandbox = self._sandbox(request)
        owner = request.labels.get("owner")
        for info, _ in self.world.snapshots.values():
            if request.name and info.name == request.name and info.labels.get("owner") == owner:
                raise InvalidRequestError(f"a snapshot named {request.name!r} exists already")
        now = datetime.now(UTC)
        info = SnapshotInfo(
            id=secrets.token_hex(8),
            provider=self.name,
            name=request.name,
            created_at=now,
            expires_at=_after(now, request.lifetime),
            size=sandbox.tree.size(),
            labels=dict(request.labels),
        )
        self.world.snapshots[info.id] = (info, sandbox.tree.copy())
        return info

    async def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        """All that fit."""
        self.world.expire()
        for info, _ in list(self.world.snapshots.values()):
            if request.labels.items() <= dict(info.labels).items():
                yield info

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        """Forget it."""
        return self.world.snapshots.pop(request.snapshot_id, None) is not None

    def _sandbox(self, request: SandboxRequest) -> _Sandbox:
        """One that can do something."""
        found = self._found(request)
        if found.info.state == "paused":
            raise SandboxPausedError.of(found.info.address, sandbox_id=request.sandbox_id)
        return found

    def _found(self, request: SandboxRequest) -> _Sandbox:
        self.world.expire()
        found = self.world.sandboxes.get(request.sandbox_id)
        if found is None:
            raise SandboxNotFoundError(
                f"there is no sandbox {self.name}:{request.sandbox_id}, or no longer",
                provider=self.name,
                sandbox_id=request.sandbox_id,
            )
        return found


def _after(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


class _Scripted(ProcessStream):
    """A process that has always ended already."""

    pid = 1

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def events(self) -> AsyncIterator[ProcessEvent]:
        reply = self._reply
        for stream, content in (("stdout", reply.stdout), ("stderr", reply.stderr)):
            data = content.encode() if isinstance(content, str) else content
            if data:
                yield OutputChunk("stdout" if stream == "stdout" else "stderr", data, 0)
        yield Exited(None if reply.signal else reply.exit_code, reply.signal, oom=reply.oom)
        yield Closed()

    async def send_stdin(self, data: bytes) -> None:
        """Ignored."""

    async def close_stdin(self) -> None:
        """Ignored."""

    async def signal(self, signum: int) -> None:
        """Ignored."""

    async def terminate(self, grace: float = 0.5) -> None:
        """Ignored."""

    async def detach(self) -> None:
        """Ignored."""
