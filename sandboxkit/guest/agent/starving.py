"""The operation ``starved``, for guests whose maker cannot look at the sandbox from outside.

It tells whether the kernel has killed something for want of memory. The kernel counts that for the
sandbox's control group where it shows one, and else for the whole machine, which is the sandbox's
own where a vendor gives it one.
"""

from __future__ import annotations

from typing import Tuple

from .server import Server
from .stream import Message, Stream

__all__ = ["COUNTERS", "install"]

#: Files with a line ``oom_kill N``, see cgroups(7) and proc_vmstat(5); the first counts.
COUNTERS = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")


def install(server: Server, counters: Tuple[str, ...] = COUNTERS) -> None:
    """Offer this operation."""
    server.add_op("starved", _Starving(counters).answer)


class _Starving:
    """The handler. It remembers what it has told, for all clients."""

    def __init__(self, counters: Tuple[str, ...]) -> None:
        self._counters = counters
        self._told = self._count()

    def answer(self, stream: Stream, _args: Message) -> None:
        """Say whether there was a kill since this was last asked, or since the guest began."""
        kills = self._count()
        news, self._told = kills > self._told, kills
        stream.result({"starved": news})

    def _count(self) -> int:
        for path in self._counters:
            try:
                with open(path, "rb") as file:
                    lines = file.read().splitlines()
            except OSError:
                continue
            for line in lines:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        return 0
