"""The egress proxy of one sandbox, a process of its own beside the daemon."""

from __future__ import annotations

import os
import socket

# All that it will use is imported now: the user it becomes may not be able to read it.
from sandboxkit.egress.proxy import serve

from . import wire
from .jail import syscalls

__all__ = ["main"]

_PR_SET_NO_NEW_PRIVS = 38


def main(control_fd: int, daemon_pid: int) -> int:
    """Serve until the daemon hangs up or dies; never returns normally.

    Args:
        control_fd: the socket to the daemon, which gives one order.
        daemon_pid: who must be our parent; else it is dead already.
    """
    control = socket.socket(fileno=control_fd)
    received = wire.receive(control)
    if received is not None:
        order, fds = received
        _become(order["user"])
        syscalls.die_with_parent()  # a change of ids undoes it
        syscalls.set_dumpable(False)
        syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if os.getppid() == daemon_pid:
            wire.send(control, {"event": "ready"})
            serve(socket.socket(fileno=fds[0]), order["rules"], control)
    os._exit(0)  # threads may be waiting for a resolver


def _become(user: list[int] | None) -> None:
    if user is not None:
        os.setgroups([])
        os.setresgid(user[1], user[1], user[1])
        os.setresuid(user[0], user[0], user[0])
