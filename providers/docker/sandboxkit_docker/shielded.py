"""Calls that must not be left half-done when whoever waits for them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["finished"]

T = TypeVar("T")


async def finished(work: Awaitable[T], undo: Callable[[T], Awaitable[object]] | None = None) -> T:
    """Await something to its end, also when cancelled.

    Args:
        work: what.
        undo: takes the result of what was cancelled meanwhile, and sees that nothing is left of it.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if not cancelled:
        return task.result()
    if task.exception() is None and undo is not None:
        await finished(undo(task.result()))
    raise asyncio.CancelledError
