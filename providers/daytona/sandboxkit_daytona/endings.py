"""The ends of sandboxes, to the second, while anybody is there who uses them.

Daytona counts a time to live in whole minutes. It is what ends a sandbox whose clients have died;
as long as one lives, it ends the sandbox when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from sandboxkit.errors import SandboxError

__all__ = ["Endings"]


class Endings:
    """A timer for each sandbox that is in use here.

    Args:
        end: ends one.
    """

    def __init__(self, end: Callable[[str], Awaitable[object]]) -> None:
        self._end = end
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def set(self, sandbox_id: str, expires: float | None) -> None:
        """End a sandbox at a moment, in seconds since 1970; ``None`` is never."""
        self.forget(sandbox_id)
        if expires is not None:
            loop = asyncio.get_running_loop()
            delay = max(0.0, expires - time.time())
            self._timers[sandbox_id] = loop.call_later(delay, self._strike, sandbox_id)

    def forget(self, sandbox_id: str) -> None:
        """End it no more. Idempotent."""
        timer = self._timers.pop(sandbox_id, None)
        if timer is not None:
            timer.cancel()

    def _strike(self, sandbox_id: str) -> None:
        self.forget(sandbox_id)
        task = asyncio.create_task(self._over(sandbox_id))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _over(self, sandbox_id: str) -> None:
        with contextlib.suppress(SandboxError, TimeoutError):  # Daytona ends it within a minute
            await self._end(sandbox_id)

    async def aclose(self) -> None:
        """Stop all timers; what is being ended is ended."""
        for sandbox_id in [*self._timers]:
            self.forget(sandbox_id)
        await asyncio.gather(*self._ending, return_exceptions=True)
