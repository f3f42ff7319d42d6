"""What a process has written: kept for who asks later, and told to who listens now."""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

__all__ = ["KEPT", "Output", "Piece", "Text"]

Stream = Literal["stdout", "stderr"]

KEPT = 4 << 20
"""Bytes of a process's output that are kept, the last ones."""

AHEAD = 1 << 20
"""Bytes that a listener may lag behind before the process is made to wait for it."""


class Piece(NamedTuple):
    """A piece of output.

    Attributes:
        stream: of which.
        data: it.
        end: bytes of both streams up to its end.
    """

    stream: Stream
    data: bytes
    end: int


class Output:
    """The output of one process.

    Args:
        limit: bytes kept.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._pieces: deque[Piece] = deque()
        self._limit = limit
        self._held = 0
        self._total = 0
        self._over = False
        self._changed = asyncio.Condition()
        self._listeners: dict[object, int] = {}

    @property
    def held(self) -> int:
        """Bytes that are kept now."""
        return self._held

    async def add(self, stream: Stream, data: bytes) -> None:
        """Keep more, and wait until those who listen have room for it."""
        async with self._changed:
            self._total += len(data)
            self._pieces.append(Piece(stream, data, self._total))
            self._held += len(data)
            while self._held > self._limit and len(self._pieces) > 1:
                self._held -= len(self._pieces.popleft().data)
            self._changed.notify_all()
            await self._changed.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self._total - min(self._listeners.values(), default=self._total) <= AHEAD

    async def end(self) -> None:
        """There is no more."""
        async with self._changed:
            self._over = True
            self._changed.notify_all()

    def drop(self) -> None:
        """Forget all of it."""
        self._pieces.clear()
        self._held = 0

    def last(self, streams: tuple[Stream, ...], size: int) -> bytes:
        """The last bytes of one stream, or of both as they came."""
        found: deque[bytes] = deque()
        left = size
        for piece in reversed(self._pieces):
            if piece.stream in streams:
                found.appendleft(piece.data[-left:])
                left -= len(piece.data)
                if left <= 0:
                    break
        return b"".join(found)

    async def follow(self, silence: float) -> AsyncIterator[Piece | None]:
        """All that is kept, then what comes, to the end; ``None`` after so many silent seconds.

        The process waits for whoever follows it.
        """
        me = object()
        place = self._listeners[me] = self._total - self._held
        try:
            while True:
                for piece in self._after(place):
                    yield piece
                    place = piece.end
                    async with self._changed:
                        self._listeners[me] = place
                        self._changed.notify_all()
                if self._over and place == self._total:
                    return
                try:
                    async with asyncio.timeout(silence), self._changed:
                        while not self._over and self._total == place:
                            await self._changed.wait()
                except TimeoutError:
                    yield None
        finally:
            del self._listeners[me]
            async with self._changed:
                self._changed.notify_all()

    def _after(self, place: int) -> list[Piece]:
        found: deque[Piece] = deque()
        for piece in reversed(self._pieces):
            if piece.end <= place:
                break
            found.appendleft(piece)
        return [*found]


class Text:
    """Decodes both streams as they come; what is no UTF-8 is replaced."""

    def __init__(self) -> None:
        made = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": made("replace"), "stderr": made("replace")}

    def of(self, piece: Piece) -> str:
        """The text of a piece, without a character that it cuts in two."""
        return self._decoders[piece.stream].decode(piece.data)

    def rest(self) -> list[tuple[str, str]]:
        """What is left when there is no more, by stream."""
        found = [(name, one.decode(b"", final=True)) for name, one in self._decoders.items()]
        return [(name, text) for name, text in found if text]
