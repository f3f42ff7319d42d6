"""What transports to a guest have in common that are no socket's: the queue of what is written."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque

__all__ = ["QueueingTransport"]

LARGEST = 1 << 19
"""Bytes sent at a time; what comes meanwhile goes with the next ones."""

_HIGH = 1 << 16


class QueueingTransport(asyncio.Transport):
    """Keeps what is written until a task of the subclass has sent it, and holds back who writes.

    That task takes what `pending` gives, tells `sent` when it is away, and waits for `more` when
    there is nothing; one that reads waits for `reading` before it hands on what it has.

    Args:
        protocol: what the bytes are for. It may write at once; that waits.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._high = _HIGH
        self._paused_writing = False
        self._closing = False
        self._lost = False
        self._ending: asyncio.Task[None] | None = None
        self.more = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._size

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def is_reading(self) -> bool:
        return self.reading.is_set()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        self._waiting.append(bytes(data))
        self._size += len(data)
        self.more.set()
        if self._size > self._high and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.more.set()

    def abort(self) -> None:
        self._closing = True
        self.lose(None)

    def pending(self) -> bytes:
        """Take what waits to be sent, as much as goes at a time; empty if there is nothing."""
        pieces: list[bytes] = []
        room = LARGEST
        while self._waiting and (len(self._waiting[0]) <= room or not pieces):
            pieces.append(self._waiting.popleft())
            room -= len(pieces[-1])
        return b"".join(pieces)

    def sent(self, size: int) -> None:
        """So many bytes of what was taken are away."""
        self._size -= size
        if self._paused_writing and self._size <= self._high // 4:
            self._paused_writing = False
            self._protocol.resume_writing()

    def lose(self, error: Exception | None) -> None:
        """Nothing goes any more; the protocol is told, once, when all has ended.

        Args:
            error: why, if it was not meant to.
        """
        if self._lost:
            return
        self._lost = self._closing = True
        self._ending = self._loop.create_task(self._end(error))

    @abstractmethod
    async def _end(self, error: Exception | None) -> None:
        """End the tasks and what they use, and tell the protocol that the connection is lost."""
