"""A carrier as a transport of asyncio's."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from ...errors import SandboxError
from .carrier import Carrier
from .messages import DATA, message, unpacked

__all__ = ["CarriedTransport"]

LARGEST = 1 << 19
"""Bytes sent at a time; what comes meanwhile goes with the next ones."""

BEAT = 0.8
"""Seconds between two messages while something is going on."""

BUSY_PATIENCE = 2.4
"""Seconds without a message after which the loader takes us for gone while something is going on:
with the guest's own five, what a killed client ran is gone within eight."""

IDLE_PATIENCE = 600.0
"""Seconds likewise while nothing is; the next operation then makes a new connection."""

FAREWELL = 0.6
"""Seconds in which the loader ends by itself, once the guest has hung up on it."""

_HIGH = 1 << 16


class CarriedTransport(asyncio.Transport):
    """Sends messages and reads lines, once it has `begin`.

    Args:
        protocol: what the bytes are for. It may write at once; that waits.
        busy: whether something is going on that must not outlive us.
    """

    def __init__(self, protocol: asyncio.Protocol, busy: Callable[[], bool]) -> None:
        super().__init__()
        self._protocol = protocol
        self._busy = busy
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._high = _HIGH
        self._paused_writing = False
        self._closing = False
        self._lost = False
        self._ending: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        protocol.connection_made(self)

    def taken(self) -> bytes:
        """What the protocol has written so far, as a message to the loader; before `begin`."""
        content = self._next()
        self._written(len(content))
        return message(DATA, content, IDLE_PATIENCE)

    def begin(self, carrier: Carrier, output: AsyncIterator[bytes]) -> None:
        """Let it flow.

        Args:
            carrier: whose loader has said that it is ready.
            output: its further lines.
        """
        self._carrier = carrier
        self._output = output
        self._reader = self._loop.create_task(self._read())
        self._writer = self._loop.create_task(self._write())

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._size

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def is_reading(self) -> bool:
        return self._reading.is_set()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        self._waiting.append(bytes(data))
        self._size += len(data)
        self._more.set()
        if self._size > self._high and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._more.set()

    def abort(self) -> None:
        self._closing = True
        self._lose(None)

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            async for line in self._output:
                await self._reading.wait()
                self._protocol.data_received(unpacked(line))
            if self._carrier.complaint:
                error = ConnectionError(self._carrier.complaint)
        except SandboxError as broken:
            error = broken
        self._lose(error)

    async def _write(self) -> None:
        try:
            told_busy = False
            while self._waiting or not self._closing:
                if not self._waiting:
                    await self._wait_for_more(BEAT if told_busy else None)
                content = self._next()
                if content or told_busy:
                    told_busy = self._busy()
                    patience = BUSY_PATIENCE if told_busy else IDLE_PATIENCE
                    await self._carrier.send(message(DATA, content, patience))
                self._written(len(content))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await asyncio.shield(self._reader)
        except SandboxError as error:
            self._lose(error)
        else:
            self._lose(None)

    async def _wait_for_more(self, seconds: float | None) -> None:
        self._more.clear()
        # That we are there is nothing that an event tells: it has to be said again and again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._more.wait()

    def _next(self) -> bytes:
        pieces: list[bytes] = []
        room = LARGEST
        while self._waiting and (len(self._waiting[0]) <= room or not pieces):
            pieces.append(self._waiting.popleft())
            room -= len(pieces[-1])
        return b"".join(pieces)

    def _written(self, size: int) -> None:
        self._size -= size
        if self._paused_writing and self._size <= self._high // 4:
            self._paused_writing = False
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._ending = self._loop.create_task(self._end(error))

    async def _end(self, error: Exception | None) -> None:
        for task in (self._reader, self._writer):
            task.cancel()
        await asyncio.wait((self._reader, self._writer))
        self._protocol.connection_lost(error)
        await self._carrier.stop()
