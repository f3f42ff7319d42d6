"""A provider around a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from ..capabilities import Capabilities
from ..models import ContextInfo, FileInfo, ProcessInfo, SandboxInfo, SandboxMetrics, SnapshotInfo
from ..provider import (
    AttachRequest,
    CodeStream,
    ConnectPortRequest,
    ContextRequest,
    CreateContextRequest,
    CreateRequest,
    DigestManyRequest,
    ForkRequest,
    KillRequest,
    LifetimeRequest,
    ListFilesRequest,
    ListRequest,
    MkdirRequest,
    NotStored,
    PathRequest,
    PauseRequest,
    PortStream,
    PortURL,
    PortURLRequest,
    ProcessStream,
    Provider,
    ReadFileRequest,
    ReadManyRequest,
    RemoveRequest,
    RenameRequest,
    ResumeRequest,
    RunCodeRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
    StartRequest,
    StatManyRequest,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WatchRequest,
    WatchStream,
    WriteFileRequest,
    WriteManyRequest,
)

__all__ = ["Layer"]


class Layer(Provider, abstract=True):
    """Passes every operation on; a subclass overrides what it is about.

    Attributes:
        inner: the provider below.
        emulated: capabilities that this layer or one below adds to the provider's own.
    """

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner.settings)
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities
        self.emulated: frozenset[str] = getattr(inner, "emulated", frozenset())

    def __init_subclass__(cls, abstract: bool = True) -> None:
        # What a layer can do is what the provider below declares; there is nothing to compare.
        super().__init_subclass__(abstract=True)

    async def survey(self) -> Capabilities:
        """What the provider finds, with what this layer adds."""
        found = (await self.inner.survey()).flags()
        more: dict[str, Any] = {name: True for name, can in found.items() if can}
        return replace(self.capabilities, **more)

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Pass on."""
        return await self.inner.create(request)

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        """Pass on."""
        return await self.inner.connect(request)

    def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        """Pass on."""
        return self.inner.list(request)

    async def kill(self, request: KillRequest) -> bool:
        """Pass on."""
        return await self.inner.kill(request)

    async def start(self, request: StartRequest) -> ProcessStream:
        """Pass on."""
        return await self.inner.start(request)

    def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        """Pass on."""
        return self.inner.read_file(request)

    async def write_file(self, request: WriteFileRequest) -> None:
        """Pass on."""
        await self.inner.write_file(request)

    async def aclose(self) -> None:
        """Pass on."""
        await self.inner.aclose()

    def native(self, sandbox_id: str) -> object:
        """Pass on."""
        return self.inner.native(sandbox_id)

    async def attach(self, request: AttachRequest) -> ProcessStream:
        """Pass on."""
        return await self.inner.attach(request)

    async def list_processes(self, request: SandboxRequest) -> Sequence[ProcessInfo]:
        """Pass on."""
        return await self.inner.list_processes(request)

    async def stat(self, request: PathRequest) -> FileInfo:
        """Pass on."""
        return await self.inner.stat(request)

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        """Pass on."""
        return await self.inner.list_files(request)

    async def mkdir(self, request: MkdirRequest) -> None:
        """Pass on."""
        await self.inner.mkdir(request)

    async def remove(self, request: RemoveRequest) -> None:
        """Pass on."""
        await self.inner.remove(request)

    async def rename(self, request: RenameRequest) -> None:
        """Pass on."""
        await self.inner.rename(request)

    def walk_tree(self, request: WalkTreeRequest) -> AsyncIterator[Sequence[TreeEntry]]:
        """Pass on."""
        return self.inner.walk_tree(request)

    async def stat_many(self, request: StatManyRequest) -> Sequence[TreeEntry | None]:
        """Pass on."""
        return await self.inner.stat_many(request)

    async def digest_many(self, request: DigestManyRequest) -> Sequence[str | None]:
        """Pass on."""
        return await self.inner.digest_many(request)

    def read_many(self, request: ReadManyRequest) -> AsyncIterator[Sequence[TreePart]]:
        """Pass on."""
        return self.inner.read_many(request)

    async def write_many(self, request: WriteManyRequest) -> Sequence[NotStored]:
        """Pass on."""
        return await self.inner.write_many(request)

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        """Pass on."""
        return await self.inner.set_lifetime(request)

    async def watch(self, request: WatchRequest) -> WatchStream:
        """Pass on."""
        return await self.inner.watch(request)

    async def connect_port(self, request: ConnectPortRequest) -> PortStream:
        """Pass on."""
        return await self.inner.connect_port(request)

    async def port_url(self, request: PortURLRequest) -> PortURL:
        """Pass on."""
        return await self.inner.port_url(request)

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        """Pass on."""
        return await self.inner.metrics(request)

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        """Pass on."""
        return await self.inner.pause(request)

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        """Pass on."""
        return await self.inner.resume(request)

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        """Pass on."""
        return await self.inner.fork(request)

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        """Pass on."""
        return await self.inner.run_code(request)

    async def create_context(self, request: CreateContextRequest) -> ContextInfo:
        """Pass on."""
        return await self.inner.create_context(request)

    async def list_contexts(self, request: SandboxRequest) -> Sequence[ContextInfo]:
        """Pass on."""
        return await self.inner.list_contexts(request)

    async def restart_context(self, request: ContextRequest) -> ContextInfo:
        """Pass on."""
        return await self.inner.restart_context(request)

    async def remove_context(self, request: ContextRequest) -> None:
        """Pass on."""
        await self.inner.remove_context(request)

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Pass on."""
        return await self.inner.snapshot(request)

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        """Pass on."""
        return self.inner.list_snapshots(request)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        """Pass on."""
        return await self.inner.delete_snapshot(request)
