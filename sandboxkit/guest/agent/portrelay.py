"""Bytes both ways between a stream and a connected socket."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from typing import Callable, Deque, Iterable

from . import frames
from .errors import RESET, OpError
from .loop import READABLE, WRITABLE, Loop
from .stream import Stream

_READS_AT_ONCE = 4


def close_hard(sock: socket.socket) -> None:
    """Close so that the other side sees a reset, not an end that it may take for a good one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Relay:
    """Copies until both directions have ended, or either side breaks off.

    Args:
        loop: the reactor.
        stream: the client; its FIN is the socket's half-close and the other way round.
        sock: connected and non-blocking; owned from now on.
        released: called once, when the socket is closed.
    """

    def __init__(
        self, loop: Loop, stream: Stream, sock: socket.socket, released: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._socket = sock
        self._released = released
        self._queue: Deque[memoryview] = deque()
        self._finishing = False
        self._input_ended = False
        self._output_ended = False
        self._broken = False
        self._closed = False
        stream.on_data = self._on_data
        stream.on_writable = self._settle
        stream.on_reset = self._on_reset
        stream.on_lost = lambda _clean: self._close()

    def begin(self, early: Iterable[bytes], finished: bool) -> None:
        """Start copying, first what the client has sent already."""
        self._queue.extend(memoryview(data) for data in early if data)
        self._finishing = finished
        self._write()
        self._settle()

    # -- to the socket --

    def _on_data(self, _channel: int, data: bytes, fin: bool) -> None:
        self._finishing = self._finishing or fin
        if self._input_ended:
            self._stream.grant(len(data))
            return
        if data:
            self._queue.append(memoryview(data))
        self._write()
        self._settle()

    def _write(self) -> None:
        while self._queue:
            piece = self._queue[0]
            try:
                count = self._socket.send(piece, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self._stop_writing()
                return
            if count == len(piece):
                self._queue.popleft()
            else:
                self._queue[0] = piece[count:]
            self._stream.grant(count)
        if self._finishing and not self._input_ended:
            self._input_ended = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _stop_writing(self) -> None:
        """The other side takes no more. What it had said before may still be there to read."""
        left = sum(len(piece) for piece in self._queue)
        self._queue.clear()
        self._input_ended = self._broken = True
        self._stream.grant(left)
        self._stream.event({"event": "input_closed"})

    # -- from the socket --

    def _read(self) -> None:
        for _ in range(_READS_AT_ONCE):
            room = 0 if self._output_ended else self._stream.room(frames.MAIN)
            if not room:
                return
            try:
                data = self._socket.recv(min(room, frames.MAX_DATA))
            except BlockingIOError:
                return
            except OSError:
                self._reset()
                return
            if data:
                # Many servers write head and body apart, and hold the second until the first was
                # acknowledged, for which the kernel would wait 40 ms.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                self._stream.data(frames.MAIN, data)
                continue
            if self._broken:
                # The kernel tells of a reset once, and it has told the writing side.
                self._reset()
                return
            self._output_ended = True
            self._stream.data(frames.MAIN, b"", fin=True)

    # -- both --

    def _on_ready(self, events: int) -> None:
        if self._closed:
            return
        if self._queue:
            self._write()
        if events & ~WRITABLE:
            if not self._output_ended:
                self._read()
            elif not self._input_ended:
                self._stop_writing()  # after the end only a reset is left to be told of
        self._settle()

    def _settle(self) -> None:
        """Watch for what is wanted now, or end."""
        if self._closed:
            return
        if self._input_ended and self._output_ended:
            self._close()
            self._stream.result({})
            return
        fd = self._socket.fileno()
        events = WRITABLE if self._queue else 0
        if not self._output_ended and self._stream.room(frames.MAIN):
            events |= READABLE
        if events or self._output_ended:
            self._loop.watch(fd, events, self._on_ready)
        else:
            # A reset would be reported for ever while what came before it waits for credit.
            self._loop.unwatch(fd)

    def _on_reset(self) -> None:
        self._close()
        self._stream.result({})

    def _reset(self) -> None:
        self._close()
        self._stream.fail(OpError(RESET, "what listens at the port has reset the connection"))

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.unwatch(self._socket.fileno())
        if self._input_ended and not self._broken:
            self._socket.close()
        else:
            close_hard(self._socket)
        self._released()
