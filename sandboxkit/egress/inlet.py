"""Reading a socket by parts: up to a mark, or so many bytes."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Optional

from .heads import Refusal

__all__ = ["CHUNK", "Inlet"]

CHUNK = 65_536
"""Bytes read at a time, and so all that is held of one direction."""

_MARK = b"\r\n\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\Z")
_LONGEST_LINE = 4096
_MOST_TRAILERS = 100


class Inlet:
    """One side's bytes.

    Args:
        sock: non-blocking; stays the caller's.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()

    async def some(self, most: int = CHUNK) -> bytes:
        """At least one byte, or none at the end."""
        if not self._buffer:
            return await self._loop.sock_recv(self._socket, min(most, CHUNK))
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    async def head(self, longest: int, status: int) -> Optional[bytes]:
        """All up to the next empty line; ``None`` if the other side ended before it began.

        Raises:
            Refusal: with 431 if it is longer than allowed, else with `status`.
        """
        at = 0
        while True:
            found = self._buffer.find(_MARK, max(0, at - len(_MARK)))
            if found > longest or (found < 0 and len(self._buffer) > longest):
                status = 431 if status == 400 else status
                raise Refusal(status, f"the head of a message is longer than {longest} bytes")
            if found >= 0:
                head = bytes(self._buffer[:found])
                del self._buffer[: found + len(_MARK)]
                return head
            at = len(self._buffer)
            data = await self._loop.sock_recv(self._socket, CHUNK)
            if not data:
                if self._buffer:
                    raise Refusal(status, "the head of a message ends in its middle")
                return None
            self._buffer += data

    async def line(self) -> bytes:
        """The next line, without its end.

        Raises:
            Refusal: there is none, or a very long one.
        """
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise Refusal(400, "a line of a chunked body is too long")
            data = await self._loop.sock_recv(self._socket, CHUNK)
            if not data:
                raise Refusal(400, "a chunked body ends in its middle")
            self._buffer += data
        line, _, rest = self._buffer.partition(b"\r\n")
        self._buffer = rest
        return bytes(line)

    async def chunk_size(self) -> int:
        """The number of bytes in the next chunk, 0 after the last, whose trailers are left out.

        Raises:
            Refusal: it is malformed.
        """
        found = _SIZE.match(await self.line())
        if found is None:
            raise Refusal(400, "the size of a chunk is malformed")
        size = int(found.group(1), 16)
        if not size:
            for _ in range(_MOST_TRAILERS):
                if not await self.line():
                    return 0
            raise Refusal(400, "a chunked body has too many trailers")
        return size
