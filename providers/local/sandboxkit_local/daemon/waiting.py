"""Waiting for what cannot be interrupted."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["is_readable", "outlast"]

T = TypeVar("T")


def is_readable(fd: int) -> bool:
    """Whether a descriptor can be read now; a process's, whether it has ended.

    Not by select(2), which takes no descriptor above 1023. Many sandboxes are many descriptors.
    """
    look = select.poll()
    look.register(fd, select.POLLIN)
    return bool(look.poll(0))


async def outlast(awaitable: Awaitable[T]) -> T:
    """Wait until something is over, however often we are cancelled meanwhile.

    Raises:
        asyncio.CancelledError: we were, and it is over.
    """
    future = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # nobody will ask for it
        raise cancelled
    return future.result()
