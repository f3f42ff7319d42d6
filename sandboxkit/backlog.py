"""What a process wrote that nobody has read yet, and how far it has come."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from .models import OutputChunk
from .provider import Exited

__all__ = ["WINDOW", "Backlog"]

WINDOW = 256 << 10
"""Bytes that an iterating reader may lag behind before the process is made to wait."""


class Backlog:
    """Filled by one task and emptied by readers.

    While there are any, whoever fills it waits for them; while there are none, the oldest output
    is dropped.

    Args:
        limit: bytes that are kept for nobody.

    Attributes:
        exited: how the process exited, once it has.
        over: whether nothing more will come.
    """

    def __init__(self, limit: int) -> None:
        self.exited: Exited | None = None
        self.over = False
        self._limit = limit
        self._chunks: deque[OutputChunk] = deque()
        self._size = 0
        self._readers = 0
        # A condition of asyncio's takes a lock for each of these steps, and the loop one turn.
        self._waiting: set[asyncio.Future[None]] = set()

    async def put(self, chunk: OutputChunk) -> None:
        """Add output; waits for readers that lag behind."""
        self._chunks.append(chunk)
        self._size += len(chunk.data)
        self._tell()
        while self._readers and self._size > WINDOW:
            await self._changed()
        while not self._readers and self._size > self._limit:
            self._size -= len(self._chunks.popleft().data)

    def exit(self, event: Exited) -> None:
        """The process has exited; output may follow."""
        self.exited = event
        self._tell()

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True
        self._tell()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Be a reader."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._tell()

    def take(self) -> OutputChunk | None:
        """The next output that is there."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._size -= len(chunk.data)
        self._tell()
        return chunk

    @property
    def has_output(self) -> bool:
        """Whether there is output to take."""
        return bool(self._chunks)

    async def something(self) -> None:
        """Wait until there is output, or nothing more will come."""
        await self.until(lambda: self.has_output or self.over)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of this."""
        while not true():
            await self._changed()

    async def _changed(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _tell(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
