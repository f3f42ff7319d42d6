"""What a command in a session has written: one log, in which markers tell the streams apart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

__all__ = ["MARKERS", "Log", "Stream"]

Stream = Literal["stdout", "stderr"]

MARKERS: dict[Stream, bytes] = {"stdout": b"\x01\x01\x01", "stderr": b"\x02\x02\x02"}
"""What stands before each piece of a stream."""

LARGEST = 16 << 20
"""Bytes kept of one command; then the oldest go."""


class Log:
    """Keeps what comes, for whoever reads it from the beginning, now or later.

    Args:
        by_line: whether a line is kept back until it is whole, as Daytona does.
    """

    def __init__(self, *, by_line: bool) -> None:
        self._by_line = by_line
        self._rest: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._parts: deque[tuple[Stream, bytes]] = deque()
        self._first = 0
        self._size = 0
        self._over = False
        self._changed = asyncio.Event()

    def add(self, stream: Stream, data: bytes) -> None:
        """Take what a stream has written."""
        if self._by_line:
            data = self._rest[stream] + data
            cut = data.rfind(b"\n") + 1
            data, self._rest[stream] = data[:cut], data[cut:]
        self._keep(stream, data)

    def _keep(self, stream: Stream, data: bytes) -> None:
        if not data:
            return
        self._parts.append((stream, data))
        self._size += len(data)
        while self._size > LARGEST and len(self._parts) > 1:
            self._size -= len(self._parts.popleft()[1])
            self._first += 1
        self._tell()

    def end(self) -> None:
        """Nothing more will come. Idempotent."""
        for stream, rest in self._rest.items():
            self._rest[stream] = b""
            self._keep(stream, rest)
        self._over = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self) -> AsyncIterator[bytes]:
        """All of it, marked, as it comes, to its end."""
        place = 0
        while True:
            changed = self._changed
            place = max(place, self._first)
            while place < self._first + len(self._parts):
                stream, data = self._parts[place - self._first]
                place += 1
                yield MARKERS[stream] + data
                place = max(place, self._first)
            if self._over:
                return
            if changed is self._changed:
                await changed.wait()

    def text(self, stream: Stream | None = None) -> str:
        """What one stream has written, or both, with the markers."""
        if stream is None:
            whole = b"".join(MARKERS[name] + data for name, data in self._parts)
        else:
            whole = b"".join(data for name, data in self._parts if name == stream)
        return whole.decode("utf-8", "replace")
