"""What the machine takes for the least that any sandbox must do.

This file is also run as a program of its own, by an interpreter without any module that is not
needed here: a fork takes the longer the more memory there is to share.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

__all__ = ["measured"]

NEW_ALL = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEW: NS, CGROUP, UTS, IPC, USER, PID, NET, as unshare(2) takes them."""

PAGE = 4096
FAULTS = 2048
STREAM = 32 << 20
ROUND_TRIPS = 100


def measured(python: str, times: int = 15) -> dict[str, list[float]]:
    """Seconds by what was done, several measurements each.

    Args:
        python: the interpreter that measures, and whose start is measured.
        times: how many measurements.
    """
    command = [python, "-I", "-S", __file__, str(times)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found: dict[str, list[float]] = json.loads(told.stdout)
    return found


def _all(times: int) -> dict[str, list[float]]:
    libc = ctypes.CDLL(None, use_errno=True)
    interpreter = [sys.executable, "-I", "-S", "-c", "pass"]
    measures: dict[str, Callable[[], float]] = {
        "fork and wait": lambda: _timed(lambda: _forked(lambda: None)),
        # Those that may not do this at once still do some of it.
        "fork with all namespaces new, and wait": lambda: _timed(
            lambda: _forked(lambda: libc.unshare(NEW_ALL))
        ),
        "page fault": _faults,
        "spawn of /bin/true": lambda: _timed(_spawned),
        "python3 -I -S -c pass": lambda: _timed(lambda: subprocess.run(interpreter, check=True)),
        "subprocess.run of /bin/echo": lambda: _timed(
            lambda: subprocess.run(["/bin/echo", "x"], check=True, capture_output=True)
        ),
        "1 MiB through a pipe": _pipe,
        "round trip, unix socket": lambda: _round_trips(*socket.socketpair()),
        "round trip, loopback TCP": lambda: _round_trips(*_tcp()),
    }
    return {name: [measure() for _ in range(times)] for name, measure in measures.items()}


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _forked(work: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    os.waitpid(pid, 0)


def _spawned() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)


def _faults() -> float:
    """One minor fault: the first touch of fresh pages."""
    with mmap.mmap(-1, PAGE * FAULTS) as area:
        began = time.perf_counter()
        for page in range(FAULTS):
            area[page * PAGE] = 1
        return (time.perf_counter() - began) / FAULTS


def _pipe() -> float:
    """What head(1) writes, read by us."""
    command = ["head", "-c", str(STREAM), "/dev/zero"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        began = time.perf_counter()
        while process.stdout.read(1 << 16):
            pass
        return (time.perf_counter() - began) / (STREAM >> 20)


def _tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _round_trips(one: socket.socket, other: socket.socket) -> float:
    """One byte to another process and back."""
    with one, other:
        pid = os.fork()
        if pid == 0:
            for _ in range(ROUND_TRIPS):
                other.send(other.recv(1))
            os._exit(0)
        began = time.perf_counter()
        for _ in range(ROUND_TRIPS):
            one.send(b"x")
            one.recv(1)
        taken = time.perf_counter() - began
        os.waitpid(pid, 0)
    return taken / ROUND_TRIPS


if __name__ == "__main__":
    print(json.dumps(_all(int(sys.argv[1]))))
