"""Sandboxes of Blaxel's."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from sandboxkit.errors import InvalidRequestError, NotFoundError, SnapshotNotFoundError
from sandboxkit.guest.carried import Orders, join
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo, SandboxMetrics, SnapshotInfo
from sandboxkit.provider import (
    ConnectPortRequest,
    CreateRequest,
    KillRequest,
    LifetimeRequest,
    ListRequest,
    PortURL,
    PortURLRequest,
    ProviderSettings,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
)

from . import CAPABILITIES, making, records, sdk
from .account import Account
from .carrier import CommandCarrier
from .machines import Machines
from .previews import Previews
from .settings import BlaxelSettings
from .snapshots import Snapshots

__all__ = ["BlaxelProvider"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class BlaxelProvider(GuestProvider):
    """Sandboxes of one workspace, each with a guest that one of its commands carries."""

    name = "blaxel"
    capabilities = CAPABILITIES
    settings_type = BlaxelSettings

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        assert isinstance(settings, BlaxelSettings)
        self._settings = settings
        self._account = Account(settings)
        self._machines = Machines(self._account)
        self._snapshots = Snapshots(self._account)
        self._previews = Previews(self._account)
        self._fresh: dict[str, Orders] = {}
        self.capabilities = replace(
            CAPABILITIES,
            isolation="remote" if settings.is_elsewhere else CAPABILITIES.isolation,
            users=settings.root,
            port_urls=settings.port_urls,
        )

    # -- lifecycle ----------------------------------------------------------------------------

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        wanted = making.sandbox(request, self._settings)
        if request.snapshot is not None:
            found = await self._copied(request, wanted)
        else:
            found = await self._made(request, wanted)
            self._fresh[found.metadata.name] = records.orders(records.labels_of(wanted))
        self._machines.put(found)
        image = making.image_of(request, self._settings)
        return records.created(wanted, request, image, self.capabilities.isolation)

    async def _made(self, request: CreateRequest, wanted: sdk.Sandbox) -> sdk.Sandbox:
        making_it = sdk.control.create_sandbox.asyncio(client=self._account.control, body=wanted)
        try:
            found = await self._account.call("create", making_it)
        except InvalidRequestError as error:
            # Its name says which request it is of: an answer to it was lost before.
            there = await self._already(request, wanted.metadata.name)
            if there is None:
                raise
            del error
            return there
        assert found is not None
        return found

    async def _already(self, request: CreateRequest, name: str) -> sdk.Sandbox | None:
        try:
            found = await self._machines.look(name, "create")
        except NotFoundError:
            return None
        info = records.sandbox_info(found, self.capabilities.isolation)
        return found if info.labels.get("nonce") == request.nonce else None

    async def _copied(self, request: CreateRequest, wanted: sdk.Sandbox) -> sdk.Sandbox:
        """Make one from a snapshot; the labels can only be put on it afterwards."""
        assert request.snapshot is not None
        await self._snapshots.check(request.snapshot)
        name = wanted.metadata.name
        body = sdk.SandboxForkRequest(
            target_name=name,
            target_type="sandbox",
            envs=making.env_of(request),
            lifecycle=wanted.spec.lifecycle,
        )
        copying = sdk.control.fork_snapshot.asyncio(
            request.snapshot, client=self._account.control, body=body
        )
        try:
            await self._account.call("create", copying)
        except NotFoundError as error:
            raise SnapshotNotFoundError(
                f"there is no snapshot blaxel:{request.snapshot}", hint="sandboxkit snapshot ls"
            ) from error
        except InvalidRequestError:
            if await self._already(request, name) is None:
                raise
        try:
            found = await self._machines.look(name, "create")
            found.metadata.labels = wanted.metadata.labels
            return await self._changed("create", found)
        except BaseException:
            # Without its labels nobody would find it.
            await self._machines.delete(name)
            raise

    async def _changed(self, op: str, found: sdk.Sandbox) -> sdk.Sandbox:
        changing = sdk.control.update_sandbox.asyncio(
            found.metadata.name, client=self._account.control, body=found
        )
        changed = await self._account.call(op, changing)
        assert changed is not None
        return changed

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        orders = self._fresh.pop(sandbox_id, None)
        machine = self._machines.known(sandbox_id)
        if orders is not None and machine is not None:  # nobody can have started a guest there
            carrier = await CommandCarrier.start(self._account, machine)
            return await join(carrier, factory, orders, fresh=True)
        machine = await self._machines.get(sandbox_id)
        carrier = await CommandCarrier.start(self._account, machine)
        return await join(carrier, factory, records.orders(records.labels_of(machine.found)))

    async def destroy(self, sandbox_id: str) -> bool:
        self._fresh.pop(sandbox_id, None)
        return await self._machines.delete(sandbox_id)

    async def kill(self, request: KillRequest) -> bool:
        was_there = await super().kill(request)
        await self._machines.forget(request.sandbox_id)
        return was_there

    async def find(self, sandbox_id: str) -> SandboxInfo:
        found = await self._machines.look(sandbox_id)
        return records.sandbox_info(found, self.capabilities.isolation)

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        if request.state not in (None, "running"):
            return
        cursor: str | sdk.Unset = sdk.UNSET
        while True:
            asking = sdk.control.list_sandboxes.asyncio(
                client=self._account.control, cursor=cursor, limit=100
            )
            page = await self._account.call("list", asking)
            for found in [] if page is None or isinstance(page.data, sdk.Unset) else page.data:
                info = records.sandbox_info(found, self.capabilities.isolation)
                if records.is_live(found) and records.fits(info, request.labels, request.metadata):
                    yield info
            following = sdk.following(page)
            if following is None:
                return
            cursor = following

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        found = await self._machines.look(request.sandbox_id, "set_lifetime")
        found.spec.lifecycle = records.lifecycle(request.lifetime, records.idle_of(found))
        ends = records.ends_of(found)
        self._machines.put(await self._changed("set_lifetime", found))
        return replace(await self.connect(request), expires_at=ends)

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        measured, found = await asyncio.gather(
            self.measure(request.sandbox_id), self._machines.look(request.sandbox_id)
        )
        runtime = found.spec.runtime
        memory = None if isinstance(runtime, sdk.Unset) else runtime.memory
        if not isinstance(memory, int):
            return measured
        # A machine has half a core for each GiB.
        return replace(measured, cpu_limit=memory / 2048, memory_limit=memory << 20)

    async def port_url(self, request: PortURLRequest) -> PortURL:
        if request.wait:  # a preview cannot tell when somebody listens; the guest can
            listening = ConnectPortRequest(
                sandbox_id=request.sandbox_id, port=request.port, wait=request.wait
            )
            await (await self.connect_port(listening)).aclose()
        return await self._previews.url(request)

    async def aclose(self) -> None:
        await super().aclose()
        await self._machines.aclose()
        await self._account.aclose()

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        await self._machines.look(request.sandbox_id, "snapshot")
        return await self._snapshots.take(request)

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        return self._snapshots.list(request.labels)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        return await self._snapshots.delete(request.snapshot_id)

    # -- the SDK ------------------------------------------------------------------------------

    def native(self, sandbox_id: str) -> object:
        """The SDK's ``Sandbox`` as Blaxel told it last, once it was made or reached here.

        A ``SandboxInstance`` made of it uses the credentials of the environment.
        """
        machine = self._machines.known(sandbox_id)
        return None if machine is None else machine.found
