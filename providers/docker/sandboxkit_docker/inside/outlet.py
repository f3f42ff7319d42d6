"""Handing the socket of a sandbox's way out to the proxy, which is in another container.

The two share a directory. The proxy listens there for one connection, which the sandbox's guest
makes before anything else runs in it; the socket travels over it, and its end is the sandbox's.
"""

from __future__ import annotations

import array
import os
import socket
from typing import Tuple

from sandboxkit.egress import outlet

__all__ = ["listen", "offer", "take"]

_DONE = b"1"


def offer(path: str) -> socket.socket:
    """Listen on the loopback for the proxy at `path`. Keep what is returned open.

    Raises:
        OSError: nobody takes it.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(path)
    with outlet.listen() as listener:
        rights = array.array("i", [listener.fileno()])
        line.sendmsg([_DONE], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    if line.recv(1) != _DONE:
        raise OSError("the egress proxy does not take the sandbox's socket")
    return line


def listen(path: str) -> socket.socket:
    """Be reachable for a guest.

    Raises:
        OSError: the directory is not ours.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(1)
    return listener


def take(
    listener: socket.socket, path: str, patience: float
) -> Tuple[socket.socket, socket.socket]:
    """Wait for the guest; nobody else can come after it.

    Args:
        listener: as `listen` made it; closed.
        path: where; removed.
        patience: seconds.

    Returns:
        The line to the guest, and what accepts the sandbox's connections.

    Raises:
        OSError: none came.
    """
    with listener:
        listener.settimeout(patience)
        line, _ = listener.accept()
    os.unlink(path)
    line.settimeout(patience)
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    _, ancillary, _, _ = line.recvmsg(len(_DONE), room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if len(fds) != 1:
        raise OSError("the guest has sent no socket")
    line.sendall(_DONE)
    return line, socket.socket(fileno=fds[0])
