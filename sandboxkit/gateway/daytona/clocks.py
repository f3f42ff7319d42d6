"""What happens to a sandbox that nobody uses, or whose time is over while it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

from ...errors import SandboxError
from ..fleet import Fleet
from ..refusal import Refusal
from ..state import SandboxRecord
from .lifecycle import Lifecycle
from .machine import Machine

__all__ = ["Clocks"]

AGAIN = 60.0
"""Seconds after which what failed is tried again, at the soonest."""
LATEST_ARCHIVE = 30 * 24 * 60
"""Minutes after which a stopped sandbox is archived whose interval is 0, as Daytona has it."""


class Clocks:
    """A timer for each sandbox; while a sandbox runs, its provider keeps its lifetime too.

    Args:
        fleet: the sandboxes.
        lifecycle: what is done to them.
        told: called with a sandbox to which something was done.
    """

    def __init__(
        self,
        fleet: Fleet[Machine],
        lifecycle: Lifecycle,
        told: Callable[[SandboxRecord], None],
    ) -> None:
        self._fleet = fleet
        self._lifecycle = lifecycle
        self._told = told
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._used: dict[str, float] = {}
        self._calls: dict[str, int] = {}

    @contextlib.contextmanager
    def using(self, record: SandboxRecord) -> Iterator[None]:
        """A sandbox is in use for as long as this lasts."""
        self._calls[record.id] = self._calls.get(record.id, 0) + 1
        try:
            yield
        finally:
            if record.id in self._calls:  # else it has ended meanwhile
                self._calls[record.id] -= 1
                self.touch(record)

    def touch(self, record: SandboxRecord) -> None:
        """A sandbox was used just now."""
        self._used[record.id] = record.options["used"] = time.time()

    def wind(self, record: SandboxRecord, soonest: float = 0.0) -> None:
        """See when something is to be done next. To be called when an interval has changed."""
        self.stop(record)
        moment = self._next(record)
        if moment is not None:
            delay = max(soonest, moment - time.time())
            loop = asyncio.get_running_loop()
            self._timers[record.id] = loop.call_later(delay, self._strike, record)

    def _idle_at(self, record: SandboxRecord) -> float | None:
        minutes: int = record.options["auto_stop"] or record.options["auto_pause"]
        if not minutes or record.options.get("stopped") or record.options.get("stopped_at"):
            return None
        used = self._used.setdefault(record.id, time.time())
        return (time.time() if self._calls.get(record.id) else used) + minutes * 60

    def _gone_at(self, record: SandboxRecord) -> float | None:
        ttl: int = record.options.get("ttl") or 0
        ends = record.started_at + ttl * 60 if ttl and record.options.get("stopped") else None
        delete: int = record.options["auto_delete"]
        since: float = record.options.get("stopped_at") or 0.0
        deleted = since + delete * 60 if since and delete > 0 else None
        return min(filter(None, (ends, deleted)), default=None)

    def _archived_at(self, record: SandboxRecord) -> float | None:
        since: float = record.options.get("stopped_at") or 0.0
        if not since or record.options.get("archived"):
            return None
        minutes: int = record.options["auto_archive"] or LATEST_ARCHIVE
        return since + minutes * 60

    def _next(self, record: SandboxRecord) -> float | None:
        moments = (self._idle_at(record), self._gone_at(record), self._archived_at(record))
        return min(filter(None, moments), default=None)

    def _strike(self, record: SandboxRecord) -> None:
        if record.id not in self._fleet.state.sandboxes:
            self.stop(record)
            return
        now = time.time()
        gone, idle = self._gone_at(record), self._idle_at(record)
        archived = self._archived_at(record)
        if gone is not None and gone <= now:
            self._do(record, self._lifecycle.destroy)
        elif idle is not None and idle <= now:
            self._do(record, self._lifecycle.stop)
        elif archived is not None and archived <= now:
            self._do(record, self._lifecycle.archive)
        else:
            self.wind(record)

    def _do(self, record: SandboxRecord, what: Callable[[SandboxRecord], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._done(record, what))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _done(
        self, record: SandboxRecord, what: Callable[[SandboxRecord], Awaitable[None]]
    ) -> None:
        # What cannot be done now is tried when the sandbox is idle for as long again.
        soonest = AGAIN
        with contextlib.suppress(SandboxError, Refusal):
            async with self._lifecycle.alone(record):
                await what(record)
            self._told(record)
            soonest = 0.0
        self._used.pop(record.id, None)
        if record.id in self._fleet.state.sandboxes:
            self.wind(record, soonest)

    def stop(self, record: SandboxRecord) -> None:
        """Do nothing more of itself to a sandbox. Idempotent."""
        timer = self._timers.pop(record.id, None)
        if timer is not None:
            timer.cancel()

    def forget(self, record: SandboxRecord) -> None:
        """It has ended. Idempotent."""
        self.stop(record)
        self._used.pop(record.id, None)
        self._calls.pop(record.id, None)

    async def close(self) -> None:
        """Stop all."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._doing:
            task.cancel()
        await asyncio.gather(*self._doing, return_exceptions=True)
