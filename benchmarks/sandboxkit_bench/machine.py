"""What the machine is, and what it takes for the least that any sandbox must do."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .contenders.host import fastest_python

__all__ = ["describe", "floor"]

NEW_ALL = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEW: NS, CGROUP, UTS, IPC, USER, PID, NET, as unshare(2) takes them."""

PAGE = 4096
FAULTS = 2048
STREAM = 32 << 20
ROUND_TRIPS = 100


def floor(times: int = 15) -> dict[str, list[float]]:
    """Seconds that the machine itself takes, several measurements each.

    Args:
        times: how many measurements.
    """
    measures: dict[str, Callable[[], float]] = {
        "fork and wait": lambda: _timed(lambda: _forked(lambda: None)),
        "fork with all namespaces new, and wait": lambda: _timed(lambda: _forked(_unshare)),
        "page fault": _faults,
        "spawn of /bin/true": lambda: _timed(_spawned),
        "python3 -I -S -c pass": lambda: _timed(
            lambda: subprocess.run([fastest_python(), "-I", "-S", "-c", "pass"], check=True)
        ),
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


_libc = ctypes.CDLL(None, use_errno=True)


def _unshare() -> None:
    # Those that may not do this at once still do some of it; the machine says so elsewhere.
    _libc.unshare(NEW_ALL)


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


def describe() -> dict[str, str]:
    """The machine in words: what decides figures, and what disturbs them."""
    return {
        "kernel": platform.release(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "processors": str(os.cpu_count()),
        "memory": _field("/proc/meminfo", "MemTotal") or "unknown",
        "hypervisor": "yes" if "hypervisor" in _read("/proc/cpuinfo") else "none seen",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not told",
        "control groups": _groups(),
        "load before": _read("/proc/loadavg"),
        "pressure before": _read("/proc/pressure/cpu").partition("\n")[0] or "not told",
        "stolen": _stolen(),
        "python": f"{platform.python_version()}; where another starts it, {fastest_python()}",
        "user": "root" if os.geteuid() == 0 else "an ordinary one",
        "page cache": "warm: every scenario has a round that does not count",
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _field(path: str, name: str) -> str:
    for line in _read(path).splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _groups() -> str:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "version 2"
    return "both" if Path("/sys/fs/cgroup/unified").exists() else "version 1"


def _stolen() -> str:
    """The share of time that the hypervisor gave to others, since the machine started."""
    words = [int(word) for word in _read("/proc/stat").partition("\n")[0].split()[1:]]
    return f"{words[7] / max(1, sum(words)):.2%} of the time since the machine started"
