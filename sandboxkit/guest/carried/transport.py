"""A carrier as a transport of asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from ...errors import SandboxError
from ..queueing import QueueingTransport
from .carrier import Carrier
from .messages import DATA, message, unpacked

__all__ = ["CarriedTransport"]

BEAT = 0.8
"""Seconds between two messages while something is going on."""

BUSY_PATIENCE = 2.4
"""Seconds without a message after which the loader takes us for gone while something is going on:
with the guest's own five, what a killed client ran is gone within eight."""

IDLE_PATIENCE = 600.0
"""Seconds likewise while nothing is; the next operation then makes a new connection."""

FAREWELL = 0.6
"""Seconds in which the loader ends by itself, once the guest has hung up on it."""


class CarriedTransport(QueueingTransport):
    """Sends messages and reads lines, once it has `begin`.

    Args:
        protocol: what the bytes are for.
        busy: whether something is going on that must not outlive us.
    """

    def __init__(self, protocol: asyncio.Protocol, busy: Callable[[], bool]) -> None:
        super().__init__(protocol)
        self._busy = busy
        protocol.connection_made(self)

    def taken(self) -> bytes:
        """What the protocol has written so far, as a message to the loader; before `begin`."""
        content = self.pending()
        self.sent(len(content))
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

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            async for line in self._output:
                await self.reading.wait()
                self._protocol.data_received(unpacked(line))
            if self._carrier.complaint:
                error = ConnectionError(self._carrier.complaint)
        except SandboxError as broken:
            error = broken
        self.lose(error)

    async def _write(self) -> None:
        try:
            told_busy = False
            while self._waiting or not self._closing:
                if not self._waiting:
                    await self._wait_for_more(BEAT if told_busy else None)
                content = self.pending()
                if content or told_busy:
                    told_busy = self._busy()
                    patience = BUSY_PATIENCE if told_busy else IDLE_PATIENCE
                    await self._carrier.send(message(DATA, content, patience))
                self.sent(len(content))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await asyncio.shield(self._reader)
        except SandboxError as error:
            self.lose(error)
        else:
            self.lose(None)

    async def _wait_for_more(self, seconds: float | None) -> None:
        self.more.clear()
        # That we are there is nothing that an event tells: it has to be said again and again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.more.wait()

    async def _end(self, error: Exception | None) -> None:
        for task in (self._reader, self._writer):
            task.cancel()
        await asyncio.wait((self._reader, self._writer))
        self._protocol.connection_lost(error)
        await self._carrier.stop()
