"""A provider that offers a machine and a byte stream to the guest in it; the guest does the rest.

A subclass says how to `boot`, `dial`, `destroy`, `find` and `list`. It declares the capabilities
``attach``, ``code``, ``file_ops``, ``lifetime_update``, ``ports``, ``terminals``, ``trees`` and
``watch``, which come with the guest.
"""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from ..errors import SandboxError, SandboxNotFoundError, TransportError
from ..models import ContextInfo, FileInfo, ProcessInfo, SandboxInfo, SandboxMetrics
from ..provider import (
    AttachRequest,
    CodeStream,
    ConnectPortRequest,
    ContextRequest,
    CreateContextRequest,
    CreateRequest,
    DigestManyRequest,
    KillRequest,
    LifetimeRequest,
    ListFilesRequest,
    MkdirRequest,
    NotStored,
    PathRequest,
    PortStream,
    ProcessStream,
    Provider,
    ProviderSettings,
    ReadFileRequest,
    ReadManyRequest,
    RemoveRequest,
    RenameRequest,
    RunCodeRequest,
    SandboxRequest,
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
from . import files, records, trees
from .client import GuestClient
from .code import GuestCode
from .connection import GuestConnection
from .fields import Fields, boolean
from .ports import GuestPort
from .process import GuestProcess
from .watch import GuestWatch

__all__ = ["GuestProvider"]

P = TypeVar("P", bound=asyncio.BaseProtocol)
T = TypeVar("T")


class GuestProvider(Provider, abstract=True):
    """Everything but the machine; see the module."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._clients: dict[str, GuestClient] = {}
        self._ending: dict[str, asyncio.Future[bool]] = {}

    # -- for subclasses -----------------------------------------------------------------------

    @abstractmethod
    async def boot(self, request: CreateRequest) -> SandboxInfo:
        """Make a sandbox whose guest can be dialled. Whatever fails must leave nothing.

        Raises:
            SandboxError: as `Provider.create` lists them.
        """

    @abstractmethod
    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Connect a protocol to the guest, as ``loop.create_unix_connection`` does.

        Raises:
            SandboxNotFoundError: the sandbox has ended; with the cause where it is known.
            OSError: it cannot be reached, for now or for good.
        """

    @abstractmethod
    async def destroy(self, sandbox_id: str) -> bool:
        """End a sandbox; true if it was there. Returns only when it is really gone."""

    @abstractmethod
    async def find(self, sandbox_id: str) -> SandboxInfo:
        """What is known of a live sandbox.

        Raises:
            SandboxNotFoundError: there is none, or no longer; with the cause where it is known.
        """

    async def look_again(self, sandbox_id: str) -> SandboxInfo:
        """As `find`, when a connection has broken: waits until it is known whether it has ended."""
        return await self.find(sandbox_id)

    def token(self, sandbox_id: str) -> str:
        """What proves to the guest who we are; nothing where the transport does."""
        return ""

    def client(self, sandbox_id: str) -> GuestClient:
        """The client of one sandbox, for what a provider does beyond this class."""
        client = self._clients.get(sandbox_id)
        if client is None:
            client = self._clients[sandbox_id] = GuestClient(
                partial(self._dial, sandbox_id),
                self.token(sandbox_id),
                find=partial(self.look_again, sandbox_id),
                provider=self.name,
                sandbox_id=sandbox_id,
                ran_out=partial(self.ran_out_of_memory, sandbox_id),
            )
        return client

    async def ran_out_of_memory(self, sandbox_id: str) -> bool:
        """Whether the kernel killed something in it for want of memory since this was last asked.

        Asked when a process was killed. Unless a provider can look from outside, the guest says.

        Raises:
            SandboxError: nobody can tell.
        """
        return boolean(await self._call("starved", sandbox_id), "starved")

    async def measure(self, sandbox_id: str) -> SandboxMetrics:
        """What the guest sees of its sandbox's use, for a provider that declares ``metrics``.

        The disk is the file system of the sandbox's root directory, which may be shared with
        others; the limits of cpu and memory are the provider's to add.
        """
        return records.metrics(await self._call("metrics", sandbox_id))

    # -- lifecycle ----------------------------------------------------------------------------

    async def create(self, request: CreateRequest) -> SandboxInfo:
        info = await self.boot(request)
        try:
            return await self._introduce(info, "create")
        except BaseException:
            with contextlib.suppress(SandboxError):
                await self.kill(KillRequest(sandbox_id=info.id))
            raise

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        info = await self.find(request.sandbox_id)
        return info if info.state == "paused" else await self._introduce(info, "connect")

    async def kill(self, request: KillRequest) -> bool:
        sandbox_id = request.sandbox_id
        ending = asyncio.get_running_loop().create_future()
        self._ending[sandbox_id] = ending
        gone = False
        try:
            was_there = await self.destroy(sandbox_id)
            gone = True
        finally:
            ending.set_result(gone)
            if self._ending.get(sandbox_id) is ending:
                del self._ending[sandbox_id]
        client = self._clients.pop(sandbox_id, None)
        if client is not None:
            await client.aclose("killed")
        return was_there

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        lifetime = request.lifetime
        await self._call("set_lifetime", request.sandbox_id, lifetime=lifetime)
        ends = None if lifetime is None else datetime.now(UTC) + timedelta(seconds=lifetime)
        return replace(await self.connect(request), expires_at=ends)

    async def aclose(self) -> None:
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.aclose() for client in clients.values()))

    # -- processes ----------------------------------------------------------------------------

    async def start(self, request: StartRequest) -> ProcessStream:
        client = self.client(request.sandbox_id)
        return await self._do("start", client, GuestProcess.start(client, request))

    async def attach(self, request: AttachRequest) -> ProcessStream:
        client = self.client(request.sandbox_id)
        return await self._do("attach", client, GuestProcess.attach(client, request))

    async def list_processes(self, request: SandboxRequest) -> Sequence[ProcessInfo]:
        return records.processes(await self._call("processes", request.sandbox_id))

    # -- files --------------------------------------------------------------------------------

    async def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        client = self.client(request.sandbox_id)
        async with contextlib.aclosing(files.read_file(client, request)) as chunks:
            while (chunk := await self._do("read_file", client, anext(chunks, None))) is not None:
                yield chunk

    async def write_file(self, request: WriteFileRequest) -> None:
        client = self.client(request.sandbox_id)
        await self._do("write_file", client, files.write_file(client, request))

    async def stat(self, request: PathRequest) -> FileInfo:
        return records.file_info(await self._on_path("stat", request))

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        client = self.client(request.sandbox_id)
        return await self._do("list_files", client, files.list_files(client, request))

    async def mkdir(self, request: MkdirRequest) -> None:
        await self._on_path("mkdir", request, parents=request.parents, mode=request.mode)

    async def remove(self, request: RemoveRequest) -> None:
        await self._on_path("remove", request, recursive=request.recursive)

    async def rename(self, request: RenameRequest) -> None:
        await self._on_path("rename", request, target=request.target)

    async def watch(self, request: WatchRequest) -> WatchStream:
        client = self.client(request.sandbox_id)
        return await self._do("watch", client, GuestWatch.begin(client, request))

    # -- trees --------------------------------------------------------------------------------

    async def walk_tree(self, request: WalkTreeRequest) -> AsyncIterator[Sequence[TreeEntry]]:
        client = self.client(request.sandbox_id)
        async with contextlib.aclosing(trees.walk_tree(client, request)) as batches:
            while (batch := await self._do("walk_tree", client, anext(batches, None))) is not None:
                yield batch

    async def stat_many(self, request: StatManyRequest) -> Sequence[TreeEntry | None]:
        client = self.client(request.sandbox_id)
        return await self._do("stat_many", client, trees.stat_many(client, request))

    async def digest_many(self, request: DigestManyRequest) -> Sequence[str | None]:
        client = self.client(request.sandbox_id)
        return await self._do("digest_many", client, trees.digest_many(client, request))

    async def read_many(self, request: ReadManyRequest) -> AsyncIterator[Sequence[TreePart]]:
        client = self.client(request.sandbox_id)
        async with contextlib.aclosing(trees.read_many(client, request)) as batches:
            while (batch := await self._do("read_many", client, anext(batches, None))) is not None:
                yield batch

    async def write_many(self, request: WriteManyRequest) -> Sequence[NotStored]:
        client = self.client(request.sandbox_id)
        await self._do("write_many", client, trees.write_many(client, request))
        return ()

    # -- code ---------------------------------------------------------------------------------

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        client = self.client(request.sandbox_id)
        return await self._do("run_code", client, GuestCode.run(client, request))

    async def create_context(self, request: CreateContextRequest) -> ContextInfo:
        result = await self._call(
            "create_context",
            request.sandbox_id,
            language=request.language,
            cwd=request.cwd,
            env=dict(request.env),
            user=request.user,
        )
        return records.context(result)

    async def list_contexts(self, request: SandboxRequest) -> Sequence[ContextInfo]:
        return records.contexts(await self._call("list_contexts", request.sandbox_id))

    async def restart_context(self, request: ContextRequest) -> ContextInfo:
        result = await self._call("restart_context", request.sandbox_id, context=request.context)
        return records.context(result)

    async def remove_context(self, request: ContextRequest) -> None:
        await self._call("remove_context", request.sandbox_id, context=request.context)

    # -- ports --------------------------------------------------------------------------------

    async def connect_port(self, request: ConnectPortRequest) -> PortStream:
        client = self.client(request.sandbox_id)
        return await self._do("connect_port", client, GuestPort.connect(client, request))

    # -- inside -------------------------------------------------------------------------------

    async def _on_path(self, op: str, request: PathRequest, **arguments: object) -> Fields:
        if request.user is not None:
            arguments["user"] = request.user
        return await self._call(op, request.sandbox_id, path=request.path, **arguments)

    async def _call(self, op: str, sandbox_id: str, **arguments: object) -> Fields:
        client = self.client(sandbox_id)
        return await self._do(op, client, client.call(op, **arguments))

    async def _introduce(self, info: SandboxInfo, op: str) -> SandboxInfo:
        client = self.client(info.id)
        return records.introduced(info, await self._do(op, client, client.hello()))

    async def _do(self, op: str, client: GuestClient, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except TransportError as error:
            explained = await client.explain(error)
            explained.locate(op=op, provider=self.name, sandbox_id=client.sandbox_id)
            if explained is error:
                raise
            raise explained from error
        except SandboxError as error:
            error.locate(op=op, provider=self.name, sandbox_id=client.sandbox_id)
            raise

    async def _dial(
        self, sandbox_id: str, factory: Callable[[], GuestConnection]
    ) -> tuple[asyncio.Transport, GuestConnection]:
        # While it is being destroyed its guest may still answer; wait for the verdict.
        ending = self._ending.get(sandbox_id)
        if ending is not None and await asyncio.shield(ending):
            raise SandboxNotFoundError(f"sandbox {sandbox_id} was killed", cause="killed")
        try:
            return await self.dial(sandbox_id, factory)
        except OSError as error:
            if isinstance(error, SandboxError):
                raise
            raise TransportError(
                f"the guest cannot be reached: {error}", outcome="not_started"
            ) from error
