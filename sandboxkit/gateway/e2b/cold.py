"""Sandboxes that are paused as files alone: saved, ended, and made again when they are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ...errors import SandboxError
from ...listing import delete_snapshot
from ...models import SandboxInfo
from ...sandbox import AsyncSandbox
from ..fleet import Fleet, Live
from ..refusal import Refusal
from ..state import SandboxRecord
from .guest import Guest

__all__ = ["Cold", "is_cold"]

Make = Callable[[SandboxRecord, Mapping[str, Any], float], Awaitable[AsyncSandbox]]
_FROZEN = "frozen"


def is_cold(record: SandboxRecord) -> bool:
    """Whether there is only what a sandbox has left on disk."""
    return bool(record.options.get(_FROZEN))


class Cold:
    """Puts sandboxes away and gets them back; their names and tokens stay.

    Args:
        fleet: of all sandboxes.
        make: makes one for a record, from what is to be started from, for so many seconds.
    """

    def __init__(self, fleet: Fleet[Guest], make: Make) -> None:
        self._fleet = fleet
        self._make = make
        self._busy: set[str] = set()

    async def freeze(self, live: Live[Guest]) -> None:
        """Keep a running sandbox's files, and end it."""
        record = live.record
        with self._alone(record):
            taken = await live.sandbox.snapshot()
            record.options[_FROZEN] = taken.address
            # Kept first: if this process ends in between, nothing is lost but a sandbox's rest.
            await self._fleet.state.save(record)
            await live.sandbox.kill()
            await self._fleet.shelve(record)

    async def thaw(self, record: SandboxRecord, seconds: float) -> None:
        """Make a sandbox again from its files."""
        with self._alone(record):
            frozen: str = record.options[_FROZEN]
            sandbox = await self._make(record, {"snapshot": frozen}, seconds)
            record.address, record.options[_FROZEN] = sandbox.address, ""
            try:
                await self._fleet.add(record, sandbox)
            except BaseException:
                record.address, record.options[_FROZEN] = "", frozen
                raise
            await self._delete(frozen)

    @contextlib.contextmanager
    def _alone(self, record: SandboxRecord) -> Iterator[None]:
        if record.id in self._busy:
            raise Refusal(
                409,
                f"sandbox '{record.id}' is still transitioning",
                headers={"Retry-After": "1", "Should-Retry": "true"},
            )
        self._busy.add(record.id)
        try:
            yield
        finally:
            self._busy.discard(record.id)

    async def kill(self, record: SandboxRecord) -> None:
        """End what is left of one."""
        await self._delete(record.options[_FROZEN])
        await self._fleet.forget(record)

    async def _delete(self, address: str) -> None:
        with contextlib.suppress(SandboxError):  # it has gone by itself
            await delete_snapshot(address, self._fleet.profile)

    def info(self, record: SandboxRecord) -> SandboxInfo:
        """What is known of one."""
        made = datetime.fromtimestamp(record.started_at, UTC)
        return SandboxInfo(id=record.id, provider="", state="paused", created_at=made)
