"""What a command in a session has written: one log, in which markers tell the streams apart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

__all__ = ["MARKERS", "Budget", "Log", "Stream"]

Stream = Literal["stdout", "stderr"]

MARKERS: dict[Stream, bytes] = {"stdout": b"\x01\x01\x01", "stderr": b"\x02\x02\x02"}
"""What stands before each piece of a stream."""

LARGEST = 16 << 20
"""Bytes kept of one command; then the oldest go."""
ALL = 64 << 20
"""Bytes kept of all commands of a sandbox; then the output of the oldest that have ended goes."""
LONGEST_LINE = 64 << 10
"""Bytes of a line that are kept back; what is longer is given out in parts."""
PIECE = 128
"""Bytes that a piece takes besides its own, so that many small ones cannot take all there are."""
DROPPED = b"[the output of this command was dropped: the sandbox's later ones needed the room]\n"


class Budget:
    """What the logs of one sandbox may hold together.

    Args:
        most: bytes.

    Attributes:
        held: bytes that they do.
        texts: characters of the commands that they are of.
    """

    def __init__(self, most: int = ALL) -> None:
        self.held = self.texts = 0
        self._most = most
        self._running: dict[Log, None] = {}
        self._ended: dict[Log, None] = {}

    def begin(self, log: Log) -> None:
        """A log begins."""
        self._running[log] = None

    def end(self, log: Log) -> None:
        """A log is at its end: it may be dropped."""
        if self._running.pop(log, self) is not self:
            self._ended[log] = None

    def release(self, log: Log) -> None:
        """A log is gone. Idempotent."""
        self._running.pop(log, None)
        self._ended.pop(log, None)

    def change(self, size: int) -> None:
        """So many bytes more are held, or fewer."""
        self.held += size
        while size > 0 and self.held > self._most:
            oldest = next(iter(self._ended), None)
            if oldest is not None:
                del self._ended[oldest]
                oldest.drop(DROPPED)
            elif not max(self._running, key=lambda log: log.size).cut():
                return


class Log:
    """Keeps what comes, for whoever reads it from the beginning, now or later.

    Args:
        by_line: whether a line is kept back until it is whole, as Daytona does.
        budget: what it shares with others.
    """

    def __init__(self, *, by_line: bool, budget: Budget | None = None) -> None:
        self.size = 0
        self._by_line = by_line
        self._budget = budget or Budget()
        self._rest: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._parts: deque[tuple[Stream, bytes]] = deque()
        self._first = 0
        self._over = False
        self._changed = asyncio.Event()
        self._budget.begin(self)

    def add(self, stream: Stream, data: bytes) -> None:
        """Take what a stream has written."""
        if not self._by_line:
            self._keep(stream, data)
            return
        rest, cut = self._rest[stream], data.rfind(b"\n") + 1
        if cut:
            whole = bytes(rest) + data[:cut]
            rest.clear()
            self._keep(stream, whole)
        rest += data[cut:]
        if len(rest) >= LONGEST_LINE:
            whole = bytes(rest)
            rest.clear()
            self._keep(stream, whole)

    def _keep(self, stream: Stream, data: bytes) -> None:
        if not data or self._over:
            return
        self._parts.append((stream, data))
        self._grow(len(data) + PIECE)
        while self.size > LARGEST and self.cut():
            continue
        self._tell()

    def _grow(self, size: int) -> None:
        self.size += size
        self._budget.change(size)

    def cut(self) -> bool:
        """Let the oldest piece go; false where it is all that there is."""
        if len(self._parts) < 2:
            return False
        self._grow(-len(self._parts.popleft()[1]) - PIECE)
        self._first += 1
        return True

    def drop(self, said: bytes) -> None:
        """Let all go that there is of it, and say this instead. To be called at its end alone."""
        self._first += len(self._parts)
        self._parts.clear()
        self._grow(-self.size)
        if said:
            self._parts.append(("stderr", said))

    def end(self) -> None:
        """Nothing more will come. Idempotent."""
        for stream, rest in self._rest.items():
            whole = bytes(rest)
            rest.clear()
            self._keep(stream, whole)
        self._over = True
        self._budget.end(self)
        self._tell()

    def release(self) -> None:
        """Nobody wants it any more. Idempotent."""
        self._over = True
        self._budget.release(self)
        self.drop(b"")
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
