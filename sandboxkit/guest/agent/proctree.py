"""Who belongs to the tree of a process, from /proc."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import Callable, ContextManager, Dict, List, NamedTuple, Optional, Set, Tuple

from .errors import NO_DESCRIPTORS
from .mark import read_mark

#: Enter it to have the rights of this (uid, gid), where the agent can switch.
ActingAs = Callable[[int, int], ContextManager[None]]


class Entry(NamedTuple):
    """A live process.

    Attributes:
        start: when it started, in the kernel's ticks; with the pid it is unique.
    """

    pid: int
    parent: int
    session: int
    start: int


def read_entry(pid: int) -> Optional[Entry]:
    """What /proc says of a process; ``None`` if it has ended, be it unreaped.

    Raises:
        OSError: no descriptor is left to look.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            raise
        return None
    try:
        content = os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name before the last parenthesis may hold anything.
    fields = content[content.rfind(b")") + 2 :].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Entry(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def snapshot() -> Dict[int, Entry]:
    """Every live process but the agent.

    Raises:
        OSError: no descriptor is left to look.
    """
    own = os.getpid()
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != own:
            entry = read_entry(int(name))
            if entry is not None:
                found[entry.pid] = entry
    return found


class Tree:
    """The tree of one process.

    It is its session, its descendants, whoever carries its mark, and whoever was found to belong
    to it before.

    Args:
        pid: of the process, which leads its session.
        mark: see `mark`; ``None`` if it could not be given one.
        reaped: whether it has been, so that its number may mean another process now.
        acting_as: for signalling what belongs to other users.
    """

    def __init__(
        self, pid: int, mark: Optional[int], reaped: Callable[[], bool], acting_as: ActingAs
    ) -> None:
        self.pid = pid
        self._mark = mark
        self._reaped = reaped
        self._acting_as = acting_as
        self._known: Set[Tuple[int, int]] = set()

    def members(self) -> Dict[int, Entry]:
        """Those alive now.

        Raises:
            OSError: no descriptor is left to look.
        """
        processes = snapshot()
        # A session number is not given away while the session has members.
        reused = self._reaped() and self.pid in processes
        found: Dict[int, Entry] = {}
        for entry in processes.values():
            of_session = not reused and self.pid in (entry.pid, entry.session)
            if of_session or (entry.pid, entry.start) in self._known or self._is_marked(entry):
                found[entry.pid] = entry
        self._add_descendants(processes, found)
        self._known.update((entry.pid, entry.start) for entry in found.values())
        return found

    def _add_descendants(self, processes: Dict[int, Entry], found: Dict[int, Entry]) -> None:
        children: Dict[int, List[Entry]] = {}
        for entry in processes.values():
            children.setdefault(entry.parent, []).append(entry)
        waiting = list(found)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child.pid not in found:
                    found[child.pid] = child
                    waiting.append(child.pid)

    def _is_marked(self, entry: Entry) -> bool:
        return self._mark is not None and read_mark(entry.pid) == self._mark

    def send(self, pid: int, number: int) -> None:
        """Signal a member; one that has ended does not mind."""
        try:
            os.kill(pid, number)
        except PermissionError:
            # Without the capability KILL only its own user may.
            with contextlib.suppress(OSError):
                owner = os.stat(f"/proc/{pid}")
                with self._acting_as(owner.st_uid, owner.st_gid):
                    os.kill(pid, number)
        except ProcessLookupError:
            pass


@functools.lru_cache(maxsize=1)
def _loadavg() -> int:
    """The file whose last word is the last number given to a process; it stays open."""
    return os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


class Moment(NamedTuple):
    """A point in time by which processes are told apart: those made before, and since.

    Attributes:
        ticks: as in `Entry.start`.
        last_pid: the last number given to a process by then, since a tick is long.
    """

    ticks: int
    last_pid: int

    @classmethod
    def now(cls) -> Moment:
        """This one."""
        last_pid = 0
        with contextlib.suppress(OSError, ValueError):
            last_pid = int(os.pread(_loadavg(), 256, 0).split()[-1])
        nanoseconds = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return cls(nanoseconds * os.sysconf("SC_CLK_TCK") // 1_000_000_000, last_pid)


class TreeSince:
    """What a process has started since a moment, and what that has; not the process itself.

    What those of its tree start that are older is theirs.

    Args:
        tree: of the process.
        moment: the beginning.
    """

    def __init__(self, tree: Tree, moment: Moment) -> None:
        self._tree = tree
        self._moment = moment
        self.send = tree.send

    def members(self) -> Dict[int, Entry]:
        """Those alive now.

        Raises:
            OSError: no descriptor is left to look.
        """
        everyone = self._tree.members()
        return {pid: entry for pid, entry in everyone.items() if self._is_new(entry, everyone)}

    def _is_new(self, entry: Entry, everyone: Dict[int, Entry]) -> bool:
        root = self._tree.pid
        if entry.pid == root:
            return False
        above: Optional[Entry] = entry
        seen: Set[int] = set()
        while above is not None and above.pid != root and above.pid not in seen:
            if (above.start, above.pid) <= self._moment:
                return False
            seen.add(above.pid)
            above = everyone.get(above.parent)
        return True
