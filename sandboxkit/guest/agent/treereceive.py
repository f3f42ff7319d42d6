"""Takes the pieces of many files from a stream and stores them."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Deque, Iterator, Optional

from . import pieces
from .arguments import bad
from .errors import OpError
from .loop import Loop
from .pieces import Decoder, Piece
from .stream import Stream
from .treeentry import Entry, from_wire
from .treestore import TreeStore

if TYPE_CHECKING:
    from .files import FileArguments

# Seconds of work after which it is others' turn.
_SLICE = 0.004


class Receiver:
    """Stores what comes, as the operation's user; ends with the first thing that cannot be stored.

    Args:
        loop: the reactor.
        stream: with DATA on its main channel.
        common: the operation's arguments.
        store: where to; it is closed at the end.
    """

    def __init__(self, loop: Loop, stream: Stream, common: FileArguments, store: TreeStore) -> None:
        self._loop = loop
        self._stream = stream
        self._common = common
        self._store = store
        self._decoder = Decoder()
        self._frames: Deque[bytes] = deque()  # at most one window
        self._pieces: Optional[Iterator[Piece]] = None
        self._granted = 0
        self._fin = False
        self._due = False
        self._entry: Optional[Entry] = None
        self._at = common.path
        self._items = 0
        stream.on_data = self._on_data
        stream.on_lost = lambda _clean: self._close()
        stream.on_reset = self._on_reset

    def _on_data(self, _channel: int, data: bytes, fin: bool) -> None:
        self._frames.append(data)
        self._fin = fin
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._due = False
        if self._stream.ended:
            return
        try:
            with self._common.acting():
                more = self._work()
                if not more and self._fin:
                    self._finish()
        except OSError as error:
            self._fail(OpError.of(error, self._at))
        except (OpError, ValueError) as error:
            self._fail(error if isinstance(error, OpError) else bad(str(error)))
        else:
            if more:
                self._go_on_soon()
            elif self._fin:
                self._close()
                self._stream.result({"items": self._items})

    def _work(self) -> bool:
        """Store what has come, for a while; true if some is left."""
        until = time.monotonic() + _SLICE
        while self._pieces is not None or self._frames:
            if self._pieces is None:
                frame = self._frames.popleft()
                self._granted = len(frame)
                self._pieces = self._decoder.feed(frame)
            for kind, payload in self._pieces:
                self._store_piece(kind, payload)
                if time.monotonic() > until:
                    return True
            self._pieces = None
            self._stream.grant(self._granted)
        return False

    def _store_piece(self, kind: int, payload: bytes) -> None:
        if kind == pieces.CONTENT:
            if self._entry is None:
                raise bad("content of no file")
            self._store.data(payload)
        elif kind == pieces.BEGIN:
            self._begin(pieces.payload_of(payload))
        elif kind == pieces.END:
            self._end(pieces.payload_of(payload))
        else:
            raise bad(f"a piece of type {kind}")

    def _begin(self, told: pieces.Message) -> None:
        if self._entry is not None:
            raise bad("a file begins within another")
        entry = from_wire(told.get("entry"))
        offset = told.get("offset", 0)
        if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 1 << 63:
            raise bad("'offset' must be a whole number from 0")
        self._at = f"{self._common.path.rstrip('/')}/{entry.name}"
        if entry.type == "file" and not entry.leaving:
            self._store.begin(entry, offset)
            self._entry = entry
        else:
            self._store.put(entry)
            self._items += 1

    def _end(self, told: pieces.Message) -> None:
        if self._entry is None:
            raise bad("no file to end")
        self._entry = None
        if told.get("errno"):
            self._store.abort()  # the client could not read all of it
            return
        self._store.end()
        self._items += 1

    def _finish(self) -> None:
        if self._entry is not None or self._decoder.pending:
            raise bad("the end came within a file")

    def _fail(self, error: OpError) -> None:
        self._close()
        self._stream.fail(error)

    def _on_reset(self) -> None:
        self._close()
        self._stream.result({"items": self._items})

    def _close(self) -> None:
        """Let go; what came of a large file is kept."""
        self._frames.clear()
        self._pieces = None
        with self._common.acting():
            self._store.close()
