"""Pausing and resuming: what is told to whom, in which order, and whose time stands still."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from sandboxkit.errors import SandboxError, TransportError, UnsupportedError

from .registry import Registry, Sandbox

__all__ = ["PAUSED_LIFETIME", "Over", "Pausing"]

_log = logging.getLogger(__name__)

PAUSED_LIFETIME = 86_400.0
"""Seconds after which a sandbox that was paused at its end really ends, unless it is resumed."""

# Seconds that a guest has to tell its clients; one that is stuck is frozen all the same.
_TELL = 1.0
# Seconds; the kernel takes far less unless something waits for a device that does not answer.
_FREEZE = 10.0

Over = Literal["lifetime", "idle"]
"""Which time of a sandbox has run out."""


class Pausing:
    """The transitions between running and paused, one at a time for each sandbox.

    Args:
        registry: the sandboxes.
        tell: sends a message to a guest.
        guard: sets the timer for a sandbox's end anew.
    """

    def __init__(
        self,
        registry: Registry,
        tell: Callable[[Sandbox, dict[str, Any]], Awaitable[None]],
        guard: Callable[[Sandbox], None],
    ) -> None:
        self._registry = registry
        self._tell = tell
        self._guard = guard
        self._tasks: set[asyncio.Task[None]] = set()

    async def pause(
        self, sandbox: Sandbox, lifetime: float | None, over: Over | None = None
    ) -> None:
        """Pause it; if it is paused, only set its end anew.

        Args:
            sandbox: which.
            lifetime: seconds until it ends unless it is resumed; ``None`` is never.
            over: which of its times has run out, if that is why. One that is not idle after all
                is left alone.

        Raises:
            UnsupportedError: it cannot be paused.
            SandboxNotFoundError: it has ended.
            TransportError: something in it does not stop; it goes on.
        """
        if sandbox.freezer is None:
            raise UnsupportedError(
                "sandboxes cannot be paused here: there are no writable control groups, version 2",
                capability="pause",
                hint="sandboxkit doctor local",
            )
        # A snapshot is written by a process in there; it is waited for.
        async with sandbox.snapshotting, sandbox.changing:
            self._registry.get(sandbox.id)
            if sandbox.paused:
                if over is None:
                    self._set_end(sandbox, lifetime)
                return
            if await self._stop(sandbox, over):
                self._registry.get(sandbox.id)
                ends = sandbox.expires_at
                sandbox.rest = None if ends is None else max(0.0, ends - time.time())
                if over == "lifetime":
                    sandbox.rest = sandbox.lifetime
                sandbox.info["state"] = "paused"
                self._set_end(sandbox, lifetime)

    async def resume(self, sandbox: Sandbox) -> None:
        """Let it go on, with what was left of its lifetime. Nothing happens if it does already.

        Raises:
            SandboxNotFoundError: it has ended.
        """
        async with sandbox.changing:
            self._registry.get(sandbox.id)
            if not sandbox.paused:
                return
            sandbox.info["state"] = "running"
            self._set_end(sandbox, sandbox.rest)
            await self._go_on(sandbox)
            await self._tell(sandbox, {"do": "set_lifetime", "lifetime": sandbox.rest})

    def time_is_over(self, sandbox: Sandbox, over: Over) -> None:
        """Pause one that shall be paused, not killed, at the end of its time."""
        task = asyncio.get_running_loop().create_task(self._pause_or_end(sandbox, over))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def said(self, sandbox: Sandbox, message: dict[str, Any]) -> None:
        """The guest answers that its clients know."""
        if sandbox.stood_still is not None and not sandbox.stood_still.done():
            sandbox.stood_still.set_result(message.get("ok") is not False)

    async def _pause_or_end(self, sandbox: Sandbox, over: Over) -> None:
        try:
            await self.pause(sandbox, PAUSED_LIFETIME, over)
        except SandboxError as error:
            _log.warning("sandbox %s ends, as it cannot be paused: %s", sandbox.id, error)
            sandbox.strike("expired")

    async def _stop(self, sandbox: Sandbox, over: Over | None) -> bool:
        """Freeze it, told beforehand; false if it is not idle and was to be paused for that."""
        assert sandbox.freezer is not None
        sandbox.stood_still = asyncio.get_running_loop().create_future()
        await self._tell(sandbox, {"do": "pausing", "if_idle": over == "idle"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TELL):
                if not await sandbox.stood_still:
                    return False
        try:
            await sandbox.freezer.freeze(_FREEZE)
        except OSError as error:  # a timeout is one too
            await self._go_on(sandbox)
            self._registry.get(sandbox.id)
            raise TransportError(
                f"the sandbox cannot be paused: {str(error) or 'something in it does not stop'}",
                outcome="not_started",
            ) from error
        return True

    async def _go_on(self, sandbox: Sandbox) -> None:
        assert sandbox.freezer is not None
        # Told first, so that it is the first that the guest hears.
        await self._tell(sandbox, {"do": "resumed"})
        try:
            sandbox.freezer.thaw()
        except OSError as error:
            await asyncio.shield(sandbox.ended)
            self._registry.get(sandbox.id)
            raise TransportError(f"the sandbox cannot be resumed: {error}") from error

    def _set_end(self, sandbox: Sandbox, lifetime: float | None) -> None:
        sandbox.info["expires_at"] = None if lifetime is None else time.time() + lifetime
        self._guard(sandbox)
