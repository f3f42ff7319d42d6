"""The agent's line to whoever made its sandbox: clients handed over, lifetime, snapshots."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from .lifetime import Lifetime
from .loop import READABLE, WRITABLE
from .pause import Pause
from .server import Server
from .snapshot import start_snapshot

_MAX_MESSAGE = 65_536
_MAX_FDS = 8


class Control:
    """Messages are JSON objects, one a packet, descriptors riding along.

    Args:
        server: of the agent.
        sock: a SOCK_SEQPACKET socket.
        lifetime: the sandbox's.
        gone: called when the maker has closed its end.

    Attributes:
        on_settle: called once with what the maker says of a sandbox that was nobody's; says whether
            it can be so.
    """

    def __init__(
        self, server: Server, sock: socket.socket, lifetime: Lifetime, gone: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._server = server
        self._socket = sock
        self._lifetime = lifetime
        self._pause = Pause(server)
        self._gone = gone
        self.on_settle: Optional[Callable[[Dict[str, Any]], bool]] = None
        self._out: Deque[bytes] = deque()
        server.loop.watch(sock.fileno(), READABLE, self._on_ready)

    def tell(self, message: Dict[str, Any]) -> None:
        """Send an event to the maker."""
        self._out.append(json.dumps(message, separators=(",", ":")).encode("ascii"))
        self._write()

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._write()
        if events & ~WRITABLE:
            self._read()

    def _write(self) -> None:
        while self._out:
            try:
                self._socket.send(self._out[0], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError:
                # Its end is seen by reading.
                self._out.clear()
                break
            self._out.popleft()
        events = READABLE | WRITABLE if self._out else READABLE
        self._server.loop.watch(self._socket.fileno(), events, self._on_ready)

    def _read(self) -> None:
        try:
            content, fds = _receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            content, fds = b"", []
        if not content:
            self._gone()
            return
        try:
            self._handle(json.loads(content), fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _handle(self, message: Dict[str, Any], fds: List[int]) -> None:
        """Do what is asked; descriptors left in `fds` are closed."""
        do = message.get("do")
        if do == "connect" and fds:
            self._server.accept(socket.socket(fileno=fds.pop(0)))
        elif do == "settle" and fds and self.on_settle is not None:
            settle, self.on_settle = self.on_settle, None
            try:
                can_be = settle(message["agent"])
            except (AttributeError, LookupError, TypeError, ValueError):
                self._gone()  # as an agent that is made so ends: its maker sees that
                return
            if can_be:
                self._server.accept(socket.socket(fileno=fds.pop(0)))
                self.tell({"event": "ready"})
        elif do == "set_lifetime":
            self._lifetime.set(message.get("lifetime"))
        elif do == "pausing":
            self._pause.begin(message.get("if_idle") is True, self._stands_still)
        elif do == "resumed":
            self._pause.end()
        elif do == "snapshot" and fds:
            self._server.idle.begin()
            start_snapshot(self._server, fds.pop(0), self._snapshot_done)

    def _stands_still(self, still: bool) -> None:
        self.tell({"event": "still", "ok": still})

    def _snapshot_done(self, error: str) -> None:
        self._server.idle.end()
        if error:
            self.tell({"event": "snapshot", "ok": False, "error": error})
        else:
            self.tell({"event": "snapshot", "ok": True})


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    """One packet and the descriptors with it; nothing at all is the end."""
    room = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    content, ancillary, _flags, _address = sock.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            with contextlib.suppress(ValueError):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return content, list(fds)
