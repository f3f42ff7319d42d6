"""Sandboxes that are paused as files alone: saved, ended, and made again when they are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...errors import SandboxError, SandboxNotFoundError
from ...listing import delete_snapshot
from ...models import SandboxInfo
from ...sandbox import AsyncSandbox
from ..fleet import Fleet, Live
from ..naming import Naming
from ..refusal import Refusal
from ..state import SandboxRecord
from .guest import Guest

__all__ = ["Cold", "is_cold", "transitioning"]

Make = Callable[[SandboxRecord, Mapping[str, Any], float], Awaitable[AsyncSandbox]]
_FROZEN = "frozen"


def is_cold(record: SandboxRecord) -> bool:
    """Whether there is only what a sandbox has left on disk."""
    return bool(record.options.get(_FROZEN))


def transitioning(record: SandboxRecord) -> Refusal:
    """That something else is being done to a sandbox."""
    return Refusal(
        409,
        f"sandbox '{record.id}' is still transitioning",
        headers={"Retry-After": "1", "Should-Retry": "true"},
    )


class Cold:
    """Puts sandboxes away and gets them back; their names and tokens stay.

    Args:
        fleet: of all sandboxes.
        make: makes one for a record, from what is to be started from, for so many seconds.
    """

    def __init__(self, fleet: Fleet[Guest], make: Make) -> None:
        self._fleet = fleet
        self._make = make
        self._naming = Naming()

    async def freeze(self, live: Live[Guest]) -> None:
        """Keep a running sandbox's files, and end it."""
        record = live.record
        async with self._alone(record):
            taken = await live.sandbox.snapshot()
            record.options[_FROZEN] = taken.address
            await self._fleet.shelve(live)

    async def thaw(self, record: SandboxRecord, seconds: float) -> None:
        """Make a sandbox again from its files."""
        async with self._alone(record):
            frozen: str = record.options[_FROZEN]
            sandbox = await self._make(record, {"snapshot": frozen}, seconds)
            record.address, record.options[_FROZEN] = sandbox.address, ""
            try:
                await self._fleet.add(record, sandbox)
            except BaseException:
                record.address, record.options[_FROZEN] = "", frozen
                raise
            await self._delete(frozen)

    @contextlib.asynccontextmanager
    async def _alone(self, record: SandboxRecord, *, wait: bool = False) -> AsyncIterator[None]:
        if self._naming.is_held(record.id) and not wait:
            raise transitioning(record)
        async with self._naming.alone(record.id):
            if record.id not in self._fleet.state.sandboxes:
                raise SandboxNotFoundError(f"sandbox {record.id} has ended")
            yield

    async def kill(self, record: SandboxRecord) -> bool:
        """End a sandbox, running or cold, after what is being done to it; true if it was there."""
        async with self._alone(record, wait=True):
            if not is_cold(record):
                return await self._fleet.kill(record)
            await self._delete(record.options[_FROZEN])
            await self._fleet.forget(record)
            return True

    async def _delete(self, address: str) -> None:
        with contextlib.suppress(SandboxError):  # it has gone by itself
            await delete_snapshot(address, self._fleet.profile)

    def info(self, record: SandboxRecord) -> SandboxInfo:
        """What is known of one."""
        made = datetime.fromtimestamp(record.started_at, UTC)
        return SandboxInfo(id=record.id, provider="", state="paused", created_at=made)
