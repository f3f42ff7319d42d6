"""One end of a message socket in an asyncio event loop."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from . import wire

__all__ = ["Peer"]

_MAX_QUEUED = 10_000


class Peer:
    """Calls back for each message and once at the end; sends without ever blocking.

    Args:
        sock: connected; now owned by the peer.
        on_message: gets each message and its descriptors, which it must close.
        on_end: gets ``None`` if the other side closed, else why the connection was given up.
            Not called after `close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[dict[str, Any], list[int]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._queue: collections.deque[tuple[dict[str, Any], list[int]]] = collections.deque()
        self._loop.add_reader(sock, self._readable)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._sock.fileno() < 0

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message, now or as soon as the other side reads. `fds` stay the caller's.

        Raises:
            wire.Garbage: the message is too large.
            ConnectionError: the other side is gone.
        """
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        if not self._queue:
            with contextlib.suppress(BlockingIOError):
                wire.send(self._sock, message, fds)
                return
            self._loop.add_writer(self._sock, self._writable)
        if len(self._queue) >= _MAX_QUEUED:
            raise ConnectionResetError("the other side does not read")
        self._queue.append((message, [os.dup(fd) for fd in fds]))

    def drain(self) -> None:
        """Hear now what the other side said before it ended."""
        while not self.closed and self._readable():
            pass

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self.closed:
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for _, fds in self._queue:
            wire.close_all(fds)
        self._queue.clear()

    def _readable(self) -> bool:
        try:
            received = wire.receive(self._sock)
        except BlockingIOError:
            return False
        except (wire.Garbage, OSError) as error:
            self._end(error)
            return False
        if received is None:
            self._end(None)
            return False
        self._on_message(*received)
        return True

    def _writable(self) -> None:
        while self._queue:
            message, fds = self._queue[0]
            try:
                wire.send(self._sock, message, fds)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(error)
                return
            self._queue.popleft()
            wire.close_all(fds)
        self._loop.remove_writer(self._sock)

    def _end(self, error: Exception | None) -> None:
        # The callback may still want to say why.
        self._on_end(error)
        self.close()
