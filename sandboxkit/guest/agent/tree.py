"""Ends the tree of a process, and knows when nothing of it is left."""

from __future__ import annotations

import os
import signal
from typing import Callable, Dict, List, Optional, Union

from .loop import READABLE, Loop, Timer
from .proctree import Entry, Tree, TreeSince, read_entry

# Ends are awaited by descriptor, of so many at a time; the next look finds the others.
_WATCHED_AT_ONCE = 128
_FREEZE_ROUNDS = 16
_KILL_ROUNDS = 200
# Where the kernel has no process descriptors: seconds between looks, growing.
_FIRST_LOOK = 0.01
_LAST_LOOK = 0.25

_SYS_PIDFD_OPEN = 434


def pidfd_open(pid: int) -> int:
    """A descriptor that is readable when the process has ended.

    Raises:
        ProcessLookupError: it has already.
        OSError: this kernel cannot, or may not here.
    """
    native = getattr(os, "pidfd_open", None)
    if native is not None:
        return int(native(pid))
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.syscall(_SYS_PIDFD_OPEN, pid, 0))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.set_inheritable(fd, False)
    return fd


class TreeKill:
    """SIGTERM to all of a tree, a grace period, then SIGKILL until nothing is left.

    Before SIGKILL everything is stopped, so that nothing forks away between look and kill.

    Args:
        loop: the reactor.
        tree: what.
        grace: seconds; 0 begins with SIGKILL.
        done: called once with the number of survivors, which is 0 unless the tree grew faster than
            it could be ended.
    """

    def __init__(
        self,
        loop: Loop,
        tree: Union[Tree, TreeSince],
        grace: float,
        done: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._tree = tree
        self._done: Optional[Callable[[int], None]] = done
        self._deadline: Optional[Timer] = None
        self._fds: Dict[int, None] = {}
        self._look_timer: Optional[Timer] = None
        self._look_after = _FIRST_LOOK
        self._killing = False
        self._rounds = 0
        if grace > 0:
            self._deadline = loop.call_later(grace, self._kill)
        else:
            self._killing = True
        loop.call_soon(self._look)

    def hasten(self, grace: float) -> None:
        """Give it at most `grace` seconds from now."""
        if self._killing or self._done is None:
            return
        if self._deadline is not None:
            left = self._loop.call_later(grace, self._kill)
            if left.when < self._deadline.when:
                self._deadline.cancel()
                self._deadline = left
            else:
                left.cancel()

    def _kill(self) -> None:
        if self._done is not None:
            self._killing = True
            self._look()

    def _look(self) -> None:
        """See who is there, signal them, and wait for their ends."""
        if self._done is None:
            return
        self._stop_waiting()
        try:
            self._signal_who_is_there()
        except OSError:
            # No descriptor is left to look with; signalled again, nobody minds.
            self._stop_waiting()
            self._look_later()

    def _signal_who_is_there(self) -> None:
        members = self._tree.members()
        if not members or self._rounds >= _KILL_ROUNDS:
            self._finish(len(members))
            return
        self._rounds += 1
        if self._killing:
            members = self._freeze(members)
            self._send(members, signal.SIGKILL)
        else:
            self._send(members, signal.SIGTERM, signal.SIGCONT)
        self._await(list(members.values()))

    def _freeze(self, members: Dict[int, Entry]) -> Dict[int, Entry]:
        """Stop them, and who they made meanwhile."""
        stopped: Dict[int, Entry] = {}
        for _ in range(_FREEZE_ROUNDS):
            fresh = {pid: entry for pid, entry in members.items() if pid not in stopped}
            if not fresh:
                break
            self._send(fresh, signal.SIGSTOP)
            stopped.update(fresh)
            members = self._tree.members()
        return stopped

    def _send(self, members: Dict[int, Entry], *numbers: int) -> None:
        for number in numbers:
            for pid in members:
                self._tree.send(pid, number)

    def _await(self, members: List[Entry]) -> None:
        for entry in members[:_WATCHED_AT_ONCE]:
            try:
                fd = pidfd_open(entry.pid)
            except ProcessLookupError:
                continue
            except OSError:
                self._look_later()
                return
            if not self._same(entry):
                # It has ended, and its number may be another's.
                os.close(fd)
                continue
            self._fds[fd] = None
            self._loop.watch(fd, READABLE, self._ender(fd))
        if not self._fds:
            self._loop.call_soon(self._look)

    def _ender(self, fd: int) -> Callable[[int], None]:
        return lambda _events: self._ended(fd)

    @staticmethod
    def _same(entry: Entry) -> bool:
        now = read_entry(entry.pid)
        return now is not None and now.start == entry.start

    def _ended(self, fd: int) -> None:
        if fd not in self._fds:
            return
        del self._fds[fd]
        self._loop.unwatch(fd)
        os.close(fd)
        if not self._fds:
            self._look()

    def _look_later(self) -> None:
        self._look_timer = self._loop.call_later(self._look_after, self._look)
        self._look_after = min(_LAST_LOOK, self._look_after * 2)

    def _stop_waiting(self) -> None:
        for fd in self._fds:
            self._loop.unwatch(fd)
            os.close(fd)
        self._fds.clear()
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None

    def _finish(self, left: int) -> None:
        done, self._done = self._done, None
        if self._deadline is not None:
            self._deadline.cancel()
        if done is not None:
            done(left)
