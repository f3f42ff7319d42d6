"""What arrived and was not taken yet: in order, for one reader."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from ..errors import SandboxError

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that the loop fills without waiting and one reader empties.

    What was put before the end is still read; then `get` raises the error the inbox was closed
    with, or returns ``None``.
    """

    __slots__ = ("_closed", "_error", "_items", "_waiter")

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._error: SandboxError | None = None

    def __len__(self) -> int:
        """How many items can be had without waiting."""
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; ignored once closed."""
        if self._closed:
            return
        self._items.append(item)
        self._wake()

    def close(self, error: SandboxError | None = None) -> None:
        """Nothing more will come. The first call decides how it ends."""
        if self._closed:
            return
        self._closed = True
        self._error = error
        self._wake()

    async def get(self) -> T | None:
        """The next item, or ``None`` when the inbox was closed and is empty.

        Raises:
            SandboxError: it was closed with this error and is empty.
        """
        while not self._items:
            if self._closed:
                if self._error is not None:
                    raise self._error
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
