"""Who may talk to the guest: whoever made the sandbox, and nothing that runs in it."""

from __future__ import annotations

import socket
import struct

__all__ = ["is_from_outside"]

_CREDENTIALS = struct.Struct("3i")


def is_from_outside(client: socket.socket) -> bool:
    """Whether a client is no process of this sandbox, where even root must not control the guest.

    A process of the host's has no number in this pid namespace, which reads as 0. What the engine
    starts in the container has no parent in it, and that no process inside can bring about.
    """
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid = _CREDENTIALS.unpack(credentials)[0]
    return pid == 0 or _parent(pid) == 0


def _parent(pid: int) -> int:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1
