"""The operation `connect_port`: a connection to what listens inside the sandbox."""

from __future__ import annotations

import errno
import socket
import time
from typing import Callable, List, Optional, Tuple

from . import arguments, listening
from .errors import NO_DESCRIPTORS, REFUSED, TOO_MANY, OpError
from .loop import WRITABLE, Loop, Timer
from .portrelay import Relay, close_hard
from .server import Server
from .stream import Message, Stream

#: Connections at once, waiting ones included: half of the descriptors the agent has.
MAX_CONNECTIONS = 512

# The kernel tells nobody that a socket begins to listen, so the one way to wait is to try again:
# soon at first, for a server that is just starting, then seldom.
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25
_GROWTH = 1.5
# Seconds for one attempt: a server whose backlog is full does not answer at all.
_ATTEMPT = 10.0

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def install(server: Server) -> None:
    """Offer the operation."""
    server.add_op("connect_port", Ports(server.loop).connect_port)
    server.add_feature("ports")


class Ports:
    """Counts the connections."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._count = 0

    def connect_port(self, stream: Stream, args: Message) -> None:
        """Connect; the stream then carries the bytes both ways."""
        port = arguments.needed_integer(args, "port", least=1)
        if port > 65535:
            raise arguments.bad("'port' must be a number up to 65535")
        wait = arguments.seconds(args, "wait", 0.0) or 0.0
        if self._count >= MAX_CONNECTIONS:
            raise OpError(TOO_MANY, f"more than {MAX_CONNECTIONS} connections to ports")
        self._count += 1
        Dialer(self._loop, stream, port, wait, self._released).begin()

    def _released(self) -> None:
        self._count -= 1


class Dialer:
    """Tries the loopback addresses, again and again while it may wait.

    Args:
        loop: the reactor.
        stream: who asked.
        port: where.
        wait: seconds for which to try.
        released: called once, when nothing is held any more.
    """

    def __init__(
        self, loop: Loop, stream: Stream, port: int, wait: float, released: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._port = port
        self._wait = wait
        self._deadline = time.monotonic() + wait
        self._released = released
        self._pause = _FIRST_PAUSE
        self._left: List[Tuple[int, str]] = []
        self._socket: Optional[socket.socket] = None
        self._timer: Optional[Timer] = None
        self._early: List[bytes] = []
        self._early_end = False
        stream.on_data = self._on_early_data
        stream.on_reset = self._on_reset
        stream.on_lost = lambda _clean: self._release()

    def begin(self) -> None:
        """Try every address once."""
        self._left = list(_LOOPBACK)
        self._next()

    def _next(self) -> None:
        while self._left:
            family, host = self._left.pop(0)
            try:
                sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    self._fail(OpError(TOO_MANY, "no more file descriptors"))
                    return
                continue  # there is no such family
            self._socket = sock
            found = sock.connect_ex((host, self._port))
            if found == errno.EINPROGRESS:
                self._timer = self._loop.call_later(_ATTEMPT, self._try_next)
                self._loop.watch(sock.fileno(), WRITABLE, self._on_ready)
                return
            if found == 0 and self._is_somebody(sock):
                self._connected()
                return
            self._drop()
        self._refused()

    def _on_ready(self, events: int) -> None:
        sock = self._socket
        if sock is None:
            return
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_next()
            return
        try:
            sock.getpeername()
        except OSError:
            if events & ~WRITABLE:
                self._try_next()
            return  # else it was about another descriptor of this number
        if self._is_somebody(sock):
            self._connected()
        else:
            self._try_next()

    def _is_somebody(self, sock: socket.socket) -> bool:
        """Not our own end: a port that nobody listens at may be what the kernel binds us to."""
        try:
            return bool(sock.getsockname() != sock.getpeername())
        except OSError:
            return False

    def _try_next(self) -> None:
        self._drop()
        self._next()

    def _refused(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            after = f" within {self._wait:g} s" if self._wait else ""
            message = f"nobody listens at port {self._port}{after}; {listening.describe()}"
            self._fail(OpError(REFUSED, message))
            return
        self._timer = self._loop.call_later(min(self._pause, left), self.begin)
        self._pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)

    def _connected(self) -> None:
        sock, self._socket = self._socket, None
        self._cancel_timer()
        assert sock is not None
        self._loop.unwatch(sock.fileno())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay = Relay(self._loop, self._stream, sock, self._released)
        self._stream.event({"event": "connected"})
        relay.begin(self._early, self._early_end)

    def _on_early_data(self, _channel: int, data: bytes, fin: bool) -> None:
        self._early.append(data)  # at most one window of it
        self._early_end = fin

    def _on_reset(self) -> None:
        self._release()
        self._stream.result({})

    def _fail(self, error: OpError) -> None:
        self._release()
        self._stream.fail(error)

    def _release(self) -> None:
        self._left = []
        self._drop()
        self._released()

    def _drop(self) -> None:
        """Give up the attempt that is under way."""
        self._cancel_timer()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            close_hard(self._socket)
            self._socket = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
