"""One JSON object per packet, with descriptors beside it, over a `SOCK_SEQPACKET` socket.

Everything in the local provider speaks it: client and daemon, daemon and zygote, daemon and guest.
Standard library only, since it also runs in zygotes.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["MAX_FDS", "MAX_MESSAGE", "Garbage", "close_all", "pair", "receive", "send"]

MAX_MESSAGE = 200_000
"""Bytes. A packet must fit the kernel's default send buffer (212,992 with its overhead)."""

MAX_FDS = 32


_rooms: list[bytearray] = []


class Garbage(ValueError):  # noqa: N818 - it names what was received
    """The peer sent what is no message; it is not trusted any further."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends for messages."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)


def send(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message.

    Raises:
        Garbage: it is larger than `MAX_MESSAGE`.
        OSError: the peer is gone (or, on a non-blocking socket, slow: `BlockingIOError`).
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE:
        raise Garbage(f"a message of {len(data)} bytes is above the limit of {MAX_MESSAGE}")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors, which are now the caller's; ``None`` at the end.

    Raises:
        Garbage: what came is no JSON object, or was cut off. Its descriptors are closed.
        OSError: the connection broke (or, on a non-blocking socket, nothing is there).
    """
    # Kept, as a new one for each message is mapped and touched anew; any thread may be here.
    try:
        room = _rooms.pop()
    except IndexError:
        room = bytearray(MAX_MESSAGE + 1)
    try:
        size, ancillary, flags, _ = sock.recvmsg_into(
            [room], socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
        )
        data = bytes(memoryview(room)[:size])
    finally:
        _rooms.append(room)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if not data:
        close_all(fds)
        return None
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise Garbage("a message was cut off")
        message = json.loads(data)
        if not isinstance(message, dict):
            raise Garbage("a message is no JSON object")
    except (ValueError, RecursionError) as error:
        close_all(fds)
        raise error if isinstance(error, Garbage) else Garbage("a message is no JSON") from error
    return message, list(fds)


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors, not minding those that are closed already."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
