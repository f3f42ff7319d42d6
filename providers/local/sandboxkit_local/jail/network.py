"""A network namespace with nothing but a loopback interface, and one way out of it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from sandboxkit_local import wire

__all__ = ["allow_low_ports", "loopback_up", "offer_outlet"]

_BACKLOG = 256

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    """Bring up ``lo`` in the current network namespace, with its usual addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("16sH22x", b"lo", 0)
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("16xH", answer)
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def offer_outlet(control: socket.socket, port: int) -> None:
    """Listen on the loopback, and let the daemon have that socket, for a proxy outside.

    Args:
        control: the socket to the daemon.
        port: where.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as outlet:
        outlet.bind(("127.0.0.1", port))
        outlet.listen(_BACKLOG)
        wire.send(control, {"event": "outlet"}, [outlet.fileno()])


def allow_low_ports(proc_sys: int) -> None:
    """Let everyone in the current network namespace listen on ports below 1024.

    Args:
        proc_sys: a directory descriptor of ``/proc/sys`` on a mount that is not read-only.
    """
    name = "net/ipv4/ip_unprivileged_port_start"
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_sys)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)
