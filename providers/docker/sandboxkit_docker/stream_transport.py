"""An attached command's standard streams as a transport of asyncio's."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import aiohttp
from aiodocker.stream import Stream

__all__ = ["GONE", "StreamTransport"]

_STDOUT = 1
_HIGH = 1 << 16
GONE = (OSError, RuntimeError, AttributeError, AssertionError, aiohttp.ClientError)
"""What a stream raises whose other side is gone; some of it is how the SDK meets that."""


class StreamTransport(asyncio.Transport):
    """Reads its standard output, writes its standard input.

    Args:
        stream: attached.
        protocol: what the bytes are for.
    """

    def __init__(self, stream: Stream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._high = _HIGH
        self._paused_writing = False
        self._closing = False
        self._lost = False
        self._more = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._errors = bytearray()
        self._tasks = [
            self._loop.create_task(self._read()),
            self._loop.create_task(self._write()),
        ]
        protocol.connection_made(self)

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
            while (message := await self._stream.read_out()) is not None:
                await self._reading.wait()
                if message.stream == _STDOUT:
                    self._protocol.data_received(message.data)
                else:
                    self._errors = (self._errors + message.data)[-500:]
            if self._errors:
                error = ConnectionError(self._errors.decode("utf-8", "replace").strip())
        except (OSError, aiohttp.ClientError) as broken:
            error = broken
        self._lose(error)

    async def _write(self) -> None:
        try:
            while True:
                while self._waiting:
                    data = b"".join(self._waiting)
                    self._waiting.clear()
                    await self._stream.write_in(data)
                    self._written(len(data))
                if self._closing:
                    break
                self._more.clear()
                await self._more.wait()
        except GONE as error:
            self._lose(ConnectionError(f"the attached stream broke: {error}"))
            return
        self._lose(None)

    def _written(self, size: int) -> None:
        self._size -= size
        if self._paused_writing and self._size <= self._high // 4:
            self._paused_writing = False
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._loop.create_task(self._end(error))

    async def _end(self, error: Exception | None) -> None:
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        with contextlib.suppress(OSError, AssertionError):  # it may be gone already
            await self._stream.close()
        self._protocol.connection_lost(error)
