"""An attached command's standard streams as a transport of asyncio's."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from aiodocker.stream import Stream

from sandboxkit.guest.queueing import QueueingTransport

__all__ = ["GONE", "StreamTransport"]

_STDOUT = 1
GONE = (OSError, RuntimeError, AttributeError, AssertionError, aiohttp.ClientError)
"""What a stream raises whose other side is gone; some of it is how the SDK meets that."""


class StreamTransport(QueueingTransport):
    """Reads its standard output, writes its standard input.

    Args:
        stream: attached.
        protocol: what the bytes are for.
    """

    def __init__(self, stream: Stream, protocol: asyncio.Protocol) -> None:
        super().__init__(protocol)
        self._stream = stream
        self._errors = bytearray()
        self._tasks = [
            self._loop.create_task(self._read()),
            self._loop.create_task(self._write()),
        ]
        protocol.connection_made(self)

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            while (message := await self._stream.read_out()) is not None:
                await self.reading.wait()
                if message.stream == _STDOUT:
                    self._protocol.data_received(message.data)
                else:
                    self._errors = (self._errors + message.data)[-500:]
            if self._errors:
                error = ConnectionError(self._errors.decode("utf-8", "replace").strip())
        except (OSError, aiohttp.ClientError) as broken:
            error = broken
        self.lose(error)

    async def _write(self) -> None:
        try:
            while True:
                while data := self.pending():
                    await self._stream.write_in(data)
                    self.sent(len(data))
                if self._closing:
                    break
                self.more.clear()
                await self.more.wait()
        except GONE as error:
            self.lose(ConnectionError(f"the attached stream broke: {error}"))
            return
        self.lose(None)

    async def _end(self, error: Exception | None) -> None:
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        with contextlib.suppress(OSError, AssertionError):  # it may be gone already
            await self._stream.close()
        self._protocol.connection_lost(error)
