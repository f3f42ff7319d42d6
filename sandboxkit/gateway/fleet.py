"""The sandboxes behind a gateway: its records, joined with what the provider says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from ..errors import SandboxError, SandboxNotFoundError, SandboxPausedError
from ..models import SandboxInfo
from ..provider import Provider
from ..resolve import Target, target
from ..runtime import Lease, acquire
from ..sandbox import AsyncSandbox
from .keys import Tenant
from .limits import Meter
from .state import SandboxRecord, State

__all__ = ["Fleet", "Live"]

T = TypeVar("T")


class Live(Generic[T]):
    """A sandbox that this process has in hand.

    Attributes:
        record: what the gateway remembers of it.
        sandbox: the sandbox.
        info: what its provider said of it last.
        extra: what the wire keeps of it while it is in hand.
    """

    def __init__(
        self, record: SandboxRecord, sandbox: AsyncSandbox, info: SandboxInfo, extra: T
    ) -> None:
        self.record = record
        self.sandbox = sandbox
        self.info = info
        self.extra = extra


class Fleet(Generic[T]):
    """Makes, finds and ends the sandboxes of all tenants.

    Args:
        profile: by which they are made; ``None`` is the configured default.
        state: where they are remembered.
        extra: makes what the wire keeps of one.
        drop: closes that.
    """

    def __init__(
        self,
        profile: str | None,
        state: State,
        extra: Callable[[AsyncSandbox, SandboxInfo], T],
        drop: Callable[[T], Any],
    ) -> None:
        self.profile = profile
        self.state = state
        self.meter = Meter()
        self._extra = extra
        self._drop = drop
        self._live: dict[str, Live[T]] = {}
        self._lease: Lease | None = None
        self._target: Target | None = None
        self._opening: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Open the provider, which stays open while there are no sandboxes.

        Raises:
            SandboxError: it cannot be used here.
        """
        self._target = await asyncio.to_thread(target, self.profile)
        self._lease = acquire(self._target)
        await self.provider.survey()  # which asks those who have somebody to ask

    @property
    def provider(self) -> Provider:
        """The provider, once it is open."""
        assert self._lease is not None
        return self._lease.provider

    @contextlib.asynccontextmanager
    async def room(self, tenant: Tenant, count: int = 1) -> AsyncIterator[None]:
        """Hold room for new sandboxes of a tenant while they are made.

        Raises:
            Refusal: it has as many as it may.
        """
        if self.meter.is_full(tenant, self._count(tenant), count):
            await self.refresh(tenant)
        with self.meter.making(tenant, self._count(tenant), count):
            yield

    def _count(self, tenant: Tenant) -> int:
        return sum(record.tenant == tenant.name for record in self.state.sandboxes.values())

    async def add(self, record: SandboxRecord, sandbox: AsyncSandbox) -> Live[T]:
        """Remember a sandbox that was just made; it is killed if that fails."""
        try:
            info = await sandbox.info()
            await self.state.save(record)
        except BaseException:
            await sandbox.kill()
            await sandbox.close()
            raise
        return self._hold(record, sandbox, info)

    def _hold(self, record: SandboxRecord, sandbox: AsyncSandbox, info: SandboxInfo) -> Live[T]:
        live = self._live[record.id] = Live(record, sandbox, info, self._extra(sandbox, info))
        return live

    async def open(self, record: SandboxRecord) -> Live[T]:
        """Take a sandbox in hand, running or paused.

        Raises:
            SandboxNotFoundError: it has ended; it is forgotten.
            SandboxPausedError: it has been shelved.
        """
        found = self._live.get(record.id)
        if found is not None:
            return found
        async with self._opening.setdefault(record.id, asyncio.Lock()):
            found = self._live.get(record.id)
            if found is not None:
                return found
            address = record.address
            if not address:
                raise SandboxPausedError(f"sandbox {record.id} is put away")
            try:
                sandbox = await AsyncSandbox.connect(address, profile=self.profile, resume=False)
                info = await sandbox.info()
            except SandboxNotFoundError:
                if await self.lost(record, address):
                    raise
                raise SandboxPausedError(f"sandbox {record.id} was put away meanwhile") from None
            if record.address != address:
                await sandbox.close()
                raise SandboxPausedError(f"sandbox {record.id} was put away meanwhile")
            return self._hold(record, sandbox, info)

    async def fresh(self, record: SandboxRecord) -> Live[T]:
        """A sandbox with what its provider says of it now.

        Raises:
            SandboxNotFoundError: it has ended; it is forgotten.
            SandboxPausedError: it has been shelved.
        """
        address = record.address
        live = await self.open(record)
        try:
            live.info = await live.sandbox.info()
        except SandboxNotFoundError:
            if await self.lost(record, address):
                raise
            return await self.fresh(record)  # it has been put away, or made again
        return live

    async def refresh(self, tenant: Tenant) -> dict[str, SandboxInfo]:
        """What there is of a tenant's, by the wire's id; what has ended is forgotten."""
        mine = [
            (one, one.address) for one in self.state.sandboxes.values() if one.tenant == tenant.name
        ]
        listed = {info.address: info for info in await AsyncSandbox.list(self.profile)}
        for record, address in mine:
            if address and address not in listed:
                await self.lost(record, address)
        return {one.id: listed[one.address] for one, _ in mine if one.address in listed}

    async def kill(self, record: SandboxRecord) -> bool:
        """End a sandbox; true if it was there."""
        try:
            live = await self.open(record)
        except SandboxNotFoundError:
            return False
        there = await live.sandbox.kill()
        await self.forget(record)
        return there

    async def shelve(self, live: Live[T]) -> None:
        """End a sandbox that will be made again: its record stays, without an address.

        The record is changed first. Whoever does not find the sandbox any more then knows that
        it was put away; and if this process ends in between, only a sandbox's rest is lost.
        """
        record = live.record
        record.address = ""
        self._opening.pop(record.id, None)
        self._live.pop(record.id, None)
        await self.state.save(record)
        try:
            await live.sandbox.kill()
        finally:
            await self._close(live)

    async def lost(self, record: SandboxRecord, address: str) -> bool:
        """Forget a sandbox that was not found at an address; false if it is no longer there.

        One that was put away, or made again, since its address was read has not ended.
        """
        if record.address != address:
            return record.id not in self.state.sandboxes
        await self.forget(record)
        return True

    async def forget(self, record: SandboxRecord) -> None:
        """Let go of a sandbox that has ended, not of another that has its id by now. Idempotent."""
        if self.state.sandboxes.get(record.id, record) is not record:
            return
        self._opening.pop(record.id, None)
        await self._close(self._live.pop(record.id, None))
        await self.state.forget(record)

    async def aclose(self) -> None:
        """Let go of all; they live on."""
        while self._live:
            await self._close(self._live.popitem()[1])
        self.state.close()
        if self._lease is not None:
            await self._lease.release()

    async def _close(self, live: Live[T] | None) -> None:
        if live is None:
            return
        await self._drop(live.extra)
        with contextlib.suppress(SandboxError):  # there is nothing left to let go of
            await live.sandbox.close()
