"""Undoing what nobody waits for any more: a create that was cancelled, or has failed."""

from __future__ import annotations

import asyncio

from ..errors import SandboxError
from ..models import SandboxInfo
from ..provider import KillRequest, ListRequest, Provider

__all__ = ["Undoing"]

AT_ONCE = 0.8
"""Seconds that whoever gave up waits for the clean-up; it goes on without him."""
GRACE = 60.0
"""Seconds that a provider is given to finish what it was asked for, so that it can be killed."""
LOOK_UP = 15.0
"""Seconds that finding and killing may take."""


class Undoing:
    """Kills the sandboxes of creates that were given up.

    To cancel such a call is not enough: a provider on the other side of a network goes on, and
    what it makes then is in no listing yet. So the call is waited for, and its sandbox killed.

    Args:
        provider: where they are made.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._tasks: set[asyncio.Task[bool]] = set()
        self._closing: asyncio.Task[None] | None = None

    async def undo(
        self, nonce: str, making: asyncio.Future[SandboxInfo], patience: float = AT_ONCE
    ) -> bool:
        """Kill what was made, or will be, with a nonce; true if that is done and nothing is left.

        What is not done in `patience` seconds, or when this is cancelled, is done later.
        """
        task = asyncio.ensure_future(self._undone(nonce, making))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=patience)
        return task.done() and not task.cancelled() and task.result()

    async def close(self) -> None:
        """Close the provider, when all is undone: whoever gave up does not wait for it."""
        if self._tasks:
            self._closing = asyncio.ensure_future(self._close_later())
        else:
            await self._provider.aclose()

    async def _close_later(self) -> None:
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                continue  # the loop ends: so were they, and they end soon
        await self._provider.aclose()

    async def _undone(self, nonce: str, making: asyncio.Future[SandboxInfo]) -> bool:
        ends = asyncio.get_running_loop().time() + AT_ONCE
        found = False
        try:
            found = await self._killed(nonce)
            if not found:
                await asyncio.wait({making}, timeout=GRACE)
        except asyncio.CancelledError:  # the loop ends, and gives no more time than this
            left = ends - asyncio.get_running_loop().time()
            await asyncio.wait({making}, timeout=max(0.0, left))
        if not making.done():
            making.cancel()
            await asyncio.wait({making}, timeout=AT_ONCE)
        if making.done() and not making.cancelled():
            error = making.exception()
            if isinstance(error, SandboxError) and error.outcome == "not_started":
                return True
        return await self._killed(nonce) or found

    async def _killed(self, nonce: str) -> bool:
        """Whether there was one, and it was killed."""
        there = False
        try:
            async with asyncio.timeout(LOOK_UP):
                async for found in self._provider.list(ListRequest(labels={"nonce": nonce})):
                    await self._provider.kill(KillRequest(sandbox_id=found.id))
                    there = True
        except (SandboxError, TimeoutError):
            return False  # its lifetime ends it; the first error is the one to hear of
        return there
