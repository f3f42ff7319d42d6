"""Sandboxes of Daytona's."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from daytona import AsyncSandbox, ListSandboxesQuery

from sandboxkit.errors import (
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    SandboxPausedError,
    SnapshotNotFoundError,
    TemplateNotFoundError,
)
from sandboxkit.guest.carried import Orders, join
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo, SandboxMetrics, SnapshotInfo
from sandboxkit.provider import (
    CreateRequest,
    KillRequest,
    LifetimeRequest,
    ListRequest,
    PauseRequest,
    PortURL,
    PortURLRequest,
    ProviderSettings,
    ResumeRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
)

from . import CAPABILITIES, making, records
from .account import Account
from .carrier import TerminalCarrier
from .endings import Endings
from .machines import Machines
from .pausing import Pausing
from .settings import DaytonaSettings
from .snapshots import Snapshots

__all__ = ["DaytonaProvider"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

TOKEN = "x-daytona-preview-token"


class DaytonaProvider(GuestProvider):
    """Sandboxes of one account, each with a guest that one of its terminals carries."""

    name = "daytona"
    capabilities = CAPABILITIES
    settings_type = DaytonaSettings

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        assert isinstance(settings, DaytonaSettings)
        self._settings = settings
        self._account = Account(settings)
        self._machines = Machines(self._account)
        self._snapshots = Snapshots(self._account)
        self._endings = Endings(self._machines.expire)
        self._pausing = Pausing(self._account, self.client, self._machines, self._endings)
        self._undoing: set[asyncio.Task[None]] = set()
        virtual = settings.sandbox_class == "linux-vm"
        own = "microvm" if virtual else CAPABILITIES.isolation
        self.capabilities = replace(
            CAPABILITIES,
            isolation="remote" if settings.is_elsewhere else own,
            users=settings.guest_user == "root",
            pause_keeps="memory" if virtual else "filesystem",
        )

    # -- lifecycle ----------------------------------------------------------------------------

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        params = making.params(request, self._settings)
        if request.snapshot is not None:
            await self._snapshots.check(request.snapshot)
        name = making.name_of(request.nonce)
        creating = self._account.client.create(params, timeout=request.create_timeout)
        try:
            machine = await self._account.call("create", creating, bounded=False)
        except NotFoundError as error:
            raise _no_template(error, request) from error
        except InvalidRequestError as error:
            machine = await self._made_before(name, request, error)
        except SandboxError as error:
            if error.outcome != "not_started":
                await self._machines.undo(name)
            raise
        except BaseException:
            self._undo(name)
            raise
        self._machines.put(machine)
        info = records.sandbox_info(machine, self.capabilities.isolation)
        self._endings.set(machine.id, records.expiry(machine.labels, paused=False))
        return info

    def _undo(self, name: str) -> None:
        """End what may have been made, though nobody waits for it any more."""
        task = asyncio.get_running_loop().create_task(self._machines.undo(name))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    async def _made_before(
        self, name: str, request: CreateRequest, error: SandboxError
    ) -> AsyncSandbox:
        """The sandbox that an earlier try has made, whose answer was lost."""
        if "already exists" not in error.message:
            raise error
        machine = await self._account.call("create", self._account.client.get(name))
        if records.sandbox_info(machine, "").labels.get("nonce") != request.nonce:
            raise error
        return machine

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        machine = await self._machines.get(sandbox_id)
        if records.is_paused(machine):
            machine = await self._machines.look(sandbox_id)
        try:
            return await self._join(machine, factory)
        except SandboxError:
            machine = await self._machines.look(sandbox_id)  # that it has ended says more
            if records.is_paused(machine):
                raise SandboxPausedError.of(
                    f"daytona:{sandbox_id}", sandbox_id=sandbox_id
                ) from None
            raise

    async def _join(
        self, machine: AsyncSandbox, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        if records.is_paused(machine):
            raise SandboxPausedError.of(f"daytona:{machine.id}", sandbox_id=machine.id)
        carrier = await TerminalCarrier.start(self._account, machine)
        return await join(carrier, factory, self._orders(machine))

    def _orders(self, machine: AsyncSandbox) -> Orders:
        return records.orders(machine.labels)

    async def destroy(self, sandbox_id: str) -> bool:
        self._endings.forget(sandbox_id)
        return await self._machines.delete(sandbox_id)

    async def find(self, sandbox_id: str) -> SandboxInfo:
        machine = await self._machines.look(sandbox_id)
        paused = records.is_paused(machine)
        self._endings.set(sandbox_id, records.expiry(machine.labels, paused=paused))
        return records.sandbox_info(machine, self.capabilities.isolation)

    async def kill(self, request: KillRequest) -> bool:
        try:
            return await super().kill(request)
        finally:
            self._endings.forget(request.sandbox_id)

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        query = ListSandboxesQuery(labels=records.filters(request) or None)
        with self._account.translated("list"):
            # All at once: the SDK's iterator complains when it is left before its end.
            pages = self._account.client.list(query, self._settings.request_timeout)
            found = [machine async for machine in pages]
        for machine in found:
            if not records.is_there(machine) or records.is_over(machine):
                continue
            info = records.sandbox_info(machine, self.capabilities.isolation)
            if request.state is None or info.state == request.state:
                yield info

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        machine = await self._machines.look(request.sandbox_id)
        if records.is_paused(machine):
            raise SandboxPausedError.of(f"daytona:{request.sandbox_id}")
        ends = None if request.lifetime is None else time.time() + request.lifetime
        await self._pausing.end_at(machine, ends)
        return await self.connect(request)

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        await self._pausing.pause(request.sandbox_id, request.lifetime)
        return await self.find(request.sandbox_id)

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        await self._pausing.resume(request.sandbox_id, lambda: self.connect(request))
        return await self.connect(request)

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        measured = await self.measure(request.sandbox_id)
        machine = await self._machines.get(request.sandbox_id)
        return replace(
            measured,
            cpu_limit=machine.cpu or None,
            memory_limit=machine.memory << 30 or None,
            disk_limit=machine.disk << 30 or None,
        )

    async def port_url(self, request: PortURLRequest) -> PortURL:
        machine = await self._machines.get(request.sandbox_id)
        link = await self._account.call("port_url", machine.get_preview_link(request.port))
        url = link.url
        if request.scheme == "ws":
            url = url.replace("http", "ws", 1)
        return PortURL(url, headers={TOKEN: link.token} if link.token else {})

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        machine = await self._machines.look(request.sandbox_id)
        if records.is_paused(machine):
            raise SandboxPausedError.of(f"daytona:{request.sandbox_id}")
        return await self._snapshots.take(machine, request)

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        return self._snapshots.list(request.labels)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        return await self._snapshots.delete(request.snapshot_id)

    # -- the SDK ------------------------------------------------------------------------------

    def native(self, sandbox_id: str) -> object:
        """The SDK's ``AsyncSandbox``, once the sandbox was made or reached here."""
        return self._machines.known(sandbox_id)

    async def aclose(self) -> None:
        await super().aclose()
        await self._endings.aclose()
        await asyncio.gather(*self._undoing, return_exceptions=True)
        await self._account.aclose()


def _no_template(error: SandboxError, request: CreateRequest) -> SandboxError:
    if request.snapshot is not None:
        return SnapshotNotFoundError(
            f"there is no snapshot {request.snapshot}", hint="sandboxkit snapshot ls"
        )
    return TemplateNotFoundError(
        f"there is no snapshot {request.template!r} in this account: {error.message}",
        hint='the setting snapshot, or daytona = "NAME" under [templates.NAME]',
    )
