"""Hostile code in the agent's place: what a sandbox can say to the daemon and to its client.

It runs where the agent would, sealed like it, with the same sockets. A variable of the sandbox says
which part it plays.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["MESSAGES", "ROLE", "serve"]

ROLE = "SANDBOXKIT_TEST_ROLE"
MESSAGES = 10
"""With thirty descriptors each."""

READY = {"event": "ready"}
LIES: list[Any] = [
    *({"event": "lifetime", "lifetime": value} for value in (-1, True, "1", None, [], {}, 1e300)),
    *({"event": "ending", "reason": reason} for reason in (None, 7, [], "killed", {"a": 1})),
    *({"event": event} for event in (None, 7, [], {}, True, "", "x" * 50_000, "spawned", "ended")),
    *({"event": event, "id": "x", "code": 7} for event in ("still", "snapshot", "ready", "outlet")),
    {},
    {"do": "kill", "sandbox": "x"},
    {"id": 1, "do": "shutdown"},
]


def serve(env: Mapping[str, str], control: socket.socket, connections: list[socket.socket]) -> None:
    """Play the part until the maker hangs up."""
    role = json.loads(env[ROLE])
    control.setblocking(True)
    with contextlib.suppress(ConnectionError):
        if role["play"] == "tree":
            _Listener(control, connections, role["listing"]).run()
        elif role["play"] == "frames":
            _Spoiler(control, connections, role["sent"]).run()
        else:
            _PLAYS[role["play"]](control)
            _Server(control, connections).run()


def _say(control: socket.socket, message: Any, fds: tuple[int, ...] = ()) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    control.sendmsg([json.dumps(message).encode()], rights)


def _hand_over_descriptors(control: socket.socket) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    for _ in range(MESSAGES):
        _say(control, {"event": "outlet"}, (null,) * 30)


def _lie(control: socket.socket) -> None:
    for lie in LIES:
        _say(control, lie)


def _live_longer(control: socket.socket) -> None:
    _say(control, {"event": "lifetime", "lifetime": 86_400})


def _send_bytes(control: socket.socket) -> None:
    control.send(b"\xff\0{" * 1000)


def _send_no_object(control: socket.socket) -> None:
    _say(control, [READY])


def _nest(control: socket.socket) -> None:
    control.send(b'{"event":' + b"[" * 60_000)


def _send_too_much(control: socket.socket) -> None:
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    control.send(b" " * 210_000 + b"{}")


def _send_too_many(control: socket.socket) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    _say(control, {"event": "outlet"}, (null,) * 200)


def _hang_up(control: socket.socket) -> None:
    control.shutdown(socket.SHUT_RDWR)


_PLAYS = {
    "descriptors": _hand_over_descriptors,
    "lies": _lie,
    "longer life": _live_longer,
    "bytes": _send_bytes,
    "no object": _send_no_object,
    "nesting": _nest,
    "too much": _send_too_much,
    "too many descriptors": _send_too_many,
    "silence": _hang_up,
}


class _Server:
    """Takes clients, and answers what they open."""

    def __init__(self, control: socket.socket, connections: list[socket.socket]) -> None:
        self.frames: Any = sys.modules["sandboxkit.guest.agent.frames"]
        self._control = control
        self._waiting = connections
        self._decoders: dict[socket.socket, Any] = {}

    def run(self) -> None:
        _say(self._control, READY)
        while True:
            while self._waiting:
                connection = self._waiting.pop()
                self._decoders[connection] = self.frames.Decoder()
                with contextlib.suppress(OSError):
                    self.greet(connection)
            for sock in select.select([self._control, *self._decoders], [], [])[0]:
                if sock is not self._control:
                    self._read(sock)
                elif not self._take():
                    return

    def greet(self, connection: socket.socket) -> None:
        hello = {"major": 1, "minor": 0, "features": ["files", "trees", "processes"]}
        connection.sendall(self.frames.encode_json(self.frames.HELLO, 0, hello))

    def opened(self, connection: socket.socket, stream: int, asked: dict[str, Any]) -> None:
        """Answer an operation; this one never does."""

    def _take(self) -> bool:
        message, ancillary, _, _ = self._control.recvmsg(65_536, socket.CMSG_SPACE(32))
        for _, _, data in ancillary:
            fds = array.array("i", data)
            self._waiting += [socket.socket(fileno=fd) for fd in fds]
        return bool(message)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65_536)
            for frame in self._decoders[connection].feed(data):
                if frame.type == self.frames.OPEN:
                    self.opened(connection, frame.stream, frame.json())
        except OSError:
            data = b""
        if not data:
            del self._decoders[connection]
            connection.close()


class _Listener(_Server):
    """Says of a tree what it was told to, and has every file that is asked for."""

    def __init__(
        self, control: socket.socket, connections: list[socket.socket], listing: list[Any]
    ) -> None:
        super().__init__(control, connections)
        self._pieces: Any = sys.modules["sandboxkit.guest.agent.pieces"]
        self._listing = listing

    def opened(self, connection: socket.socket, stream: int, asked: dict[str, Any]) -> None:
        frames, pieces = self.frames, self._pieces
        if asked["op"] == "read_many":
            sent = b"".join(self._file(name) for name, _, _ in asked["files"])
        else:
            top = [[name, "directory", 0, 0o755] for name in asked.get("names", [""])]
            listing = self._listing if asked["op"] == "walk_tree" else []
            sent = pieces.json_piece(pieces.ENTRIES, {"entries": [*top, *listing]})
        connection.sendall(frames.encode(frames.DATA, stream, sent, 0, True))
        connection.sendall(frames.encode_json(frames.RESULT, stream, {}))

    def _file(self, name: str) -> bytes:
        pieces = self._pieces
        begun = pieces.json_piece(pieces.BEGIN, {"entry": [name, "file", 5, 0o4755], "offset": 0})
        ended = pieces.json_piece(pieces.END, {"errno": 0})
        return b"".join([begun, *pieces.content_piece(b"owned"), ended])


class _Spoiler(_Server):
    """Greets each client but the first, and answers what it opens, with bytes of its own."""

    def __init__(
        self, control: socket.socket, connections: list[socket.socket], sent: list[list[str]]
    ) -> None:
        super().__init__(control, connections)
        self._sent = [
            [bytes.fromhex(part) for part in pair] for pair in reversed([["", ""], *sent])
        ]
        self._answers: dict[socket.socket, bytes] = {}

    def greet(self, connection: socket.socket) -> None:
        greeting, self._answers[connection] = self._sent.pop()
        if greeting:
            connection.sendall(greeting)
        else:
            super().greet(connection)

    def opened(self, connection: socket.socket, stream: int, asked: dict[str, Any]) -> None:
        connection.sendall(self._answers.pop(connection, b""))
