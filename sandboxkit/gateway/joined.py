"""A transport that sends at once what is written in one go: an answer's head with its body."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["JoinedTransport"]

MOST = 64 << 10
"""Bytes that are never held back, so that the transport sees how much there is to send."""


class JoinedTransport(asyncio.Transport):
    """What is written within one turn of the loop leaves in one packet.

    A server writes an answer in pieces, and each of them costs a call of the system here and wakes
    the client there, which has nothing to do with half an answer.

    Args:
        transport: to which all goes.
        loop: its loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._size = 0

    @property
    def plain(self) -> asyncio.Transport:
        """The transport behind this one, for whoever goes on without it."""
        self.flush()
        return self._transport

    def flush(self) -> None:
        """Send what was written."""
        if self._held:
            held, self._held, self._size = self._held, [], 0
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send this, with whatever else is written before the loop turns."""
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST:
            self.flush()

    def close(self) -> None:
        """Close it when all is sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Drop it, with what was not sent."""
        self._held.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of it."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Let nothing more come."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let more come."""
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent."""
        return self._size + self._transport.get_write_buffer_size()
