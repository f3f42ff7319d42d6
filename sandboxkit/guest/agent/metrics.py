"""The operation `metrics`: what the sandbox uses now, as far as it can be seen from inside."""

from __future__ import annotations

import os
from collections import deque
from typing import Deque, Dict, List, NamedTuple, Optional

from .errors import NO_DESCRIPTORS, OpError
from .server import Server
from .stream import Message, Stream

_AT_ONCE = 16
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_KIB = 1024


def install(server: Server) -> None:
    """Offer this operation."""
    server.add_op("metrics", Metrics(server).answer)


class Metrics:
    """The handler. It remembers the cpu time it has told, which never shrinks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cpu = 0.0

    def answer(self, stream: Stream, _args: Message) -> None:
        """Tell what all processes use together, and the file system of the root directory."""
        members = _members()
        # What ends between two looks may be in neither; it was in the look before.
        self._cpu = max(self._cpu, sum(process.cpu for process in members))
        running = [process for process in members if not process.ended]
        disk = os.statvfs("/")
        told = {
            "cpu_seconds": self._cpu,
            "processes": sum(process.pid != os.getpid() for process in running),
            "disk_used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "disk_size": disk.f_blocks * disk.f_frsize,
        }
        Memory(self._server, stream, running, told)


class Seen(NamedTuple):
    """A process, by /proc/PID/stat; see proc(5).

    Attributes:
        ended: it has, and was not waited for yet.
        cpu: seconds, with those of its children that were waited for.
    """

    pid: int
    parent: int
    ended: bool
    cpu: float


class Memory:
    """Adds up the memory of processes a few at a time, so that others are served.

    What several share is divided among them, where the kernel lets us see that.
    """

    def __init__(
        self, server: Server, stream: Stream, processes: List[Seen], told: Message
    ) -> None:
        self._server = server
        self._stream = stream
        self._waiting: Deque[Seen] = deque(processes)
        self._told = told
        self._used = 0
        self._go_on()

    def _go_on(self) -> None:
        if self._stream.ended:
            return
        try:
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                self._used += self._memory(self._waiting.popleft().pid)
        except OSError as error:
            self._stream.fail(error)
            return
        if self._waiting:
            self._server.loop.call_soon(self._go_on)
        else:
            self._stream.result({**self._told, "memory_used": self._used})

    def _memory(self, pid: int) -> int:
        shares = self._shares(pid)
        if "Pss" in shares:
            return shares["Pss"]
        own = _sizes(pid, "status")
        return own.get("RssAnon", 0) + own.get("RssShmem", 0)

    def _shares(self, pid: int) -> Dict[str, int]:
        if pid == os.getpid():
            return _sizes(pid, "smaps_rollup")
        try:
            # It is told to whoever might trace the process: its user, not an agent without rights.
            owner = os.stat(f"/proc/{pid}")
            with self._server.acting_as(owner.st_uid, owner.st_gid):
                return _sizes(pid, "smaps_rollup")
        except (FileNotFoundError, ProcessLookupError, OpError):
            return {}


def _members() -> List[Seen]:
    """The sandbox's processes: all there are if the agent is the first one, else those below it."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            seen = _seen(int(name))
            if seen is not None:
                found[seen.pid] = seen
    if os.getpid() == 1:
        return list(found.values())
    below = [seen for pid, seen in found.items() if pid == os.getpid()]
    for seen in below:
        below += [child for child in found.values() if child.parent == seen.pid]
    return below


def _seen(pid: int) -> Optional[Seen]:
    content = _read(pid, "stat")
    # The name before the last parenthesis may hold anything.
    fields = content[content.rfind(b")") + 2 :].split()
    if len(fields) < 15:
        return None
    ticks = sum(int(field) for field in fields[11:15])
    return Seen(pid, int(fields[1]), fields[0] in (b"Z", b"X"), ticks / _TICKS_A_SECOND)


def _sizes(pid: int, name: str) -> Dict[str, int]:
    """The lines of a file of /proc that tell sizes, in bytes."""
    sizes = {}
    for line in _read(pid, name).splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == b"kB" and words[1].isdigit():
            sizes[words[0].rstrip(b":").decode("ascii")] = int(words[1]) * _KIB
    return sizes


def _read(pid: int, name: str) -> bytes:
    """A file of /proc; empty if the process has ended or is none of this user's business.

    Raises:
        OSError: no descriptor is left to look.
    """
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(65_536) or b""
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            raise
        return b""
