"""One client: its hello, its streams, and the bytes still to be written to it."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Dict, List, Set, Tuple

from . import frames
from .errors import TOO_MANY, OpError
from .loop import READABLE, WRITABLE
from .stream import Message, Stream

if TYPE_CHECKING:
    from .server import Server

#: Bytes waiting to be written above which a connection takes no more DATA.
HIGH_WATER = 262_144
LOW_WATER = 65_536
#: Bytes waiting to be written above which nothing more is read: answers nobody takes.
FLOOD = 1_048_576
#: Streams open at once on one connection.
MAX_STREAMS = 4096
#: Seconds a new client has for its hello.
HELLO_TIMEOUT = 30.0

_GATHERED = 64
_SEND_BUFFER = 1_048_576
_ROUNDS = 4
_FROM_CLIENT = (frames.OPEN, frames.DATA, frames.CREDIT, frames.CONTROL, frames.RESET)
# A client counts upwards; one that does not is remembered number by number, up to here.
_MAX_SPARSE = 65_536

# One buffer for all connections: it is empty again before the next one is read.
_SCRATCH = memoryview(bytearray(262_144))


def equal_tokens(one: str, other: str) -> bool:
    """Compare in a time that tells nothing but the length."""
    left, right = (token.encode("utf-8", "surrogatepass") for token in (one, other))
    difference = len(left) ^ len(right)
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0


class Numbers:
    """Which stream numbers were used, in little memory if they were used in order."""

    def __init__(self) -> None:
        self._below = 1
        self._sparse: Set[int] = set()

    def use(self, number: int) -> None:
        """Mark it.

        Raises:
            FrameError: it was used already.
        """
        if number < self._below or number in self._sparse:
            raise frames.FrameError(f"stream {number} was used already")
        if number != self._below:
            if len(self._sparse) >= _MAX_SPARSE:
                raise frames.FrameError("stream numbers are used out of order")
            self._sparse.add(number)
            return
        self._below += 1
        while self._below in self._sparse:
            self._sparse.remove(self._below)
            self._below += 1

    def __contains__(self, number: int) -> bool:
        return number < self._below or number in self._sparse


class Connection:
    """One client's byte stream.

    Attributes:
        congested: more than `HIGH_WATER` bytes wait to be written.
        closed: nothing is read or written any more.
    """

    def __init__(self, server: Server, sock: socket.socket) -> None:
        sock.setblocking(False)
        # As much as is allowed: a window fits, so that a sender need not wait for its reader.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.congested = False
        self.closed = False
        self._server = server
        self._loop = server.loop
        self._socket = sock
        self._fd = sock.fileno()
        self._decoder = frames.Decoder()
        self._streams: Dict[int, Stream] = {}
        self._numbers = Numbers()
        self._waiting: Dict[Stream, None] = {}
        self._out: Deque[frames.Buffer] = deque()
        self._queued = 0
        self._flush_due = False
        self._written = 0
        self._when_written: Deque[Tuple[int, Callable[[], None]]] = deque()
        self._hears_pauses = False
        self._greeted = False
        self._deaf = False
        self._hello_timer = self._loop.call_later(HELLO_TIMEOUT, self.close)
        self._loop.watch(self._fd, READABLE, self._on_ready)

    # -- out --

    def send(self, data: frames.Buffer) -> None:
        """Queue bytes; they are written when the current callbacks are done."""
        if self.closed or self._deaf:
            return
        self._out.append(data)
        self._queued += len(data)
        if self._queued > HIGH_WATER:
            self.congested = True
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def wait_writable(self, stream: Stream) -> None:
        """Call the stream's `on_writable` when there may be room for it."""
        self._waiting[stream] = None

    def announce(self, message: Message) -> bool:
        """Send an event of the connection itself; false if there is nobody who would hear it."""
        if not self._greeted or self._deaf or not self._hears_pauses:
            return False
        self.send(frames.encode_json(frames.EVENT, 0, message))
        return True

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call it once, when all that was sent until now is on its way, or cannot be any more."""
        self._when_written.append((self._written + self._queued, callback))

    def forget(self, stream: Stream) -> None:
        """The stream has ended."""
        if self._streams.pop(stream.id, None) is not None:
            self._server.idle.end()
        self._waiting.pop(stream, None)

    def _flush(self) -> None:
        """Write until the socket is full, refilling from those who wait; then others' turn."""
        self._flush_due = False
        for _ in range(_ROUNDS):
            while self._out and self._write_some():
                pass
            if self._out or self.closed or not self._refill():
                break
        else:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        self._settle()

    def _write_some(self) -> bool:
        """One gathered write; false when the socket takes no more."""
        pieces: List[frames.Buffer] = []
        for piece in self._out:
            pieces.append(piece)
            if len(pieces) == _GATHERED:
                break
        try:
            written = self._socket.sendmsg(pieces, (), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            # Its end, perhaps with a BYE before it, is still to be read.
            self._deaf = True
            self._drop_queue()
            return False
        self._queued -= written
        self._written += written
        while written:
            piece = self._out.popleft()
            if len(piece) > written:
                self._out.appendleft(memoryview(piece)[written:])
                break
            written -= len(piece)
        self._tell_written()
        return True

    def _drop_queue(self) -> None:
        self._out.clear()
        self._written += self._queued
        self._queued = 0
        self._tell_written()

    def _tell_written(self) -> None:
        while self._when_written and self._when_written[0][0] <= self._written:
            self._when_written.popleft()[1]()

    def _refill(self) -> bool:
        """Let the streams that wait for room queue more; false if nothing came of it."""
        self.congested = self._queued > LOW_WATER
        for _ in range(len(self._waiting)):
            if self.congested or self.closed:
                break
            stream = next(iter(self._waiting))
            del self._waiting[stream]
            if stream.on_writable is not None:
                stream.on_writable()
        return bool(self._out)

    def _settle(self) -> None:
        """Watch for what is wanted now."""
        if self.closed:
            return
        if self._queued <= LOW_WATER:
            self.congested = False
        # Credit, RESET and CONTROL must get through to a client that is slow to read; only one that
        # goes on asking without taking its answers is made to wait.
        events = 0 if self._queued > FLOOD else READABLE
        if self._out:
            events |= WRITABLE
        self._loop.watch(self._fd, events, self._on_ready)

    # -- in --

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
        if not self.closed and events & ~WRITABLE:
            self._read()

    def _read(self) -> None:
        try:
            count = self._socket.recv_into(_SCRATCH)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            return
        handled = False
        try:
            for frame in self._decoder.feed(_SCRATCH[:count]):
                self._dispatch(frame)
                if self.closed:
                    break
            handled = True
        except frames.FrameError:
            pass
        finally:
            # Also when a handler has a bug: an answer may be owed that will never come.
            if not handled:
                self.close()

    def _dispatch(self, frame: frames.Frame) -> None:
        if not self._greeted:
            self._on_hello(frame)
        elif frame.type == frames.BYE:
            self.close(clean=True)
        elif frame.type not in _FROM_CLIENT:
            raise frames.FrameError(f"type {frame.type} from a client")
        elif frame.type == frames.OPEN:
            self._on_open(frame)
        else:
            self._on_stream_frame(frame)

    def _on_hello(self, frame: frames.Frame) -> None:
        if frame.type != frames.HELLO:
            raise frames.FrameError("the first frame is not HELLO")
        hello = frame.json()
        token = hello.get("token")
        if not isinstance(token, str):
            token = ""
        if not equal_tokens(token, self._server.config.token):
            raise frames.FrameError("a wrong token")
        self._greeted = True
        features = hello.get("features")
        self._hears_pauses = isinstance(features, list) and frames.PAUSE in features
        self._hello_timer.cancel()
        self.send(frames.encode_json(frames.HELLO, 0, self._server.hello()))
        if hello.get("major") != frames.MAJOR:
            # Answered all the same, so that the client can say which version it met.
            self._flush()
            raise frames.FrameError("another major version")

    def _on_open(self, frame: frames.Frame) -> None:
        self._numbers.use(frame.stream)
        arguments = frame.json()
        stream = Stream(self, frame.stream)
        if len(self._streams) >= MAX_STREAMS:
            stream.fail(OpError(TOO_MANY, f"more than {MAX_STREAMS} streams"))
            return
        self._streams[frame.stream] = stream
        self._server.idle.begin()
        self._server.open(stream, arguments)

    def _on_stream_frame(self, frame: frames.Frame) -> None:
        message: Message = frame.json() if frame.type == frames.CONTROL else {}
        stream = self._streams.get(frame.stream)
        if stream is None:
            if frame.stream not in self._numbers:
                raise frames.FrameError(f"stream {frame.stream} was never opened")
            return
        if frame.type == frames.DATA:
            stream.received(frame.channel, frame.payload, frame.fin)
        elif frame.type == frames.CREDIT:
            stream.credited(frame.channel, frame.credit())
            self._writable_again(stream)
        elif frame.type == frames.RESET:
            stream.reset()
        elif stream.on_control is not None:
            stream.on_control(message)

    def _writable_again(self, stream: Stream) -> None:
        if stream in self._waiting and not self.congested:
            del self._waiting[stream]
            if stream.on_writable is not None:
                stream.on_writable()

    # -- the end --

    def close(self, clean: bool = False) -> None:
        """Close it; every open stream is told. Idempotent.

        Args:
            clean: the client said BYE, so nothing bound to it lingers.
        """
        if self.closed:
            return
        self.closed = True
        self._hello_timer.cancel()
        self._loop.unwatch(self._fd)
        self._socket.close()
        self._drop_queue()
        self._waiting.clear()
        streams, self._streams = list(self._streams.values()), {}
        self._server.disconnected(self)
        for stream in streams:
            self._server.idle.end()
            stream.lost(clean)
