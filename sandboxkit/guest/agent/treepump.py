"""Sends what a source makes, as fast as a stream takes it and others are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterator

from . import frames
from .loop import Loop
from .stream import Stream

if TYPE_CHECKING:
    from .files import FileArguments

_SENDS_AT_ONCE = 8


class Pump:
    """Takes bytes from an iterator, as the operation's user, and sends them.

    Args:
        loop: the reactor.
        stream: to send on.
        common: the operation's arguments.
        source: gives bytes, about one frame's worth at a time; may raise `OSError`.
        close: called once, at the end.
    """

    def __init__(
        self,
        loop: Loop,
        stream: Stream,
        common: FileArguments,
        source: Iterator[bytes],
        close: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._common = common
        self._source = source
        self._close_source = close
        self._rest = memoryview(b"")
        self._done = False
        self._due = False
        stream.on_writable = self._pump
        stream.on_lost = lambda _clean: self._close()
        stream.on_reset = self._on_reset
        self._go_on_soon()

    def _pump(self) -> None:
        for _ in range(_SENDS_AT_ONCE):
            if not self._stream.room(frames.MAIN):
                return
            if not self._rest and not self._refill():
                return
            size = min(self._stream.room(frames.MAIN), frames.MAX_DATA)
            self._stream.data(frames.MAIN, self._rest[:size])
            self._rest = self._rest[size:]
        self._go_on_soon()

    def _refill(self) -> bool:
        """Have the source make more; false if the stream has ended instead."""
        try:
            with self._common.acting():
                made = next(self._source, None)
        except OSError as error:
            self._close()
            self._stream.fail(self._common.error(error))
            return False
        if made is None:
            self._close()
            self._stream.data(frames.MAIN, b"", fin=True)
            self._stream.result({})
            return False
        self._rest = memoryview(made)
        return True

    def _go_on_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._due = False
        if not self._done and not self._stream.ended:
            self._pump()

    def _on_reset(self) -> None:
        self._close()
        self._stream.result({})

    def _close(self) -> None:
        if not self._done:
            self._done = True
            self._rest = memoryview(b"")
            getattr(self._source, "close", _nothing)()  # a generator has descriptors open
            self._close_source()


def _nothing() -> None:
    return
