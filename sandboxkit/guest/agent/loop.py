"""A single-threaded reactor: descriptors by epoll, timers by a heap, children by SIGCHLD.

It waits in one place and never polls. No threads, so that the agent may fork at any time.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import sys
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Tuple

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT

# epoll refuses a wait of more milliseconds than an int holds.
_LONGEST_WAIT = 86_400.0
_EVENTS_AT_ONCE = 64


class Timer:
    """Something that will be called; see `Loop.call_later`.

    Attributes:
        when: on the loop's clock, seconds.
    """

    __slots__ = ("_loop", "callback", "when")

    def __init__(self, loop: Loop, when: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.when = when
        self.callback: Optional[Callable[[], None]] = callback

    def cancel(self) -> None:
        """Do not call it. Idempotent, also when it was called already."""
        if self.callback is not None:
            self.callback = None
            self._loop.timer_cancelled()


class Loop:
    """The reactor. Callbacks run one at a time and must not block.

    A callback may be called without its descriptor being ready (a number closed and reused within
    one wait), so descriptors must be non-blocking.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: Dict[int, Tuple[int, Callable[[int], None]]] = {}
        self._timers: List[Tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._sequence = 0
        self._soon: Deque[Callable[[], None]] = deque()
        self._running = False
        self._signal_fds: Tuple[int, int] = (-1, -1)
        self._stood_still = 0.0
        self._stopped_at: Optional[float] = None

    # -- descriptors --

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback(events)`` whenever `fd` is ready; replaces what was watched on it.

        Errors and hang-ups are always reported, even with `events` 0: `unwatch` what nobody wants
        to read.
        """
        known = self._watches.get(fd)
        if known is None:
            self._epoll.register(fd, events)
        elif known[0] != events:
            self._epoll.modify(fd, events)
        self._watches[fd] = (events, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching; call it before closing `fd`. Idempotent."""
        if self._watches.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    # -- timers --

    def time(self) -> float:
        """Seconds on the monotonic clock, less those in which it was stopped."""
        now = time.monotonic() if self._stopped_at is None else self._stopped_at
        return now - self._stood_still

    def stop_clock(self) -> None:
        """Let no timer run out until `start_clock`. Idempotent."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()

    def start_clock(self) -> None:
        """Let timers go on with what was left of them. Idempotent."""
        if self._stopped_at is not None:
            self._stood_still += time.monotonic() - self._stopped_at
            self._stopped_at = None

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call it once, after `seconds`."""
        self._sequence += 1
        timer = Timer(self, self.time() + seconds, callback)
        heapq.heappush(self._timers, (timer.when, self._sequence, timer))
        return timer

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call it once, after what is ready now, before waiting again."""
        self._soon.append(callback)

    def timer_cancelled(self) -> None:
        """Throw cancelled timers out once they are most of the heap, for they may lie far off."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled > len(self._timers) // 2:
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    # -- children --

    def watch_children(self, callback: Callable[[], None]) -> None:
        """Call it after one or more children have changed state. Main thread only."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._signal_fds = (read_end, write_end)

        def woken(_events: int) -> None:
            try:
                os.read(read_end, 4096)
            except BlockingIOError:
                return
            callback()

        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self.watch(read_end, READABLE, woken)

    # -- running --

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            for fd, events in self._epoll.poll(self._patience(), _EVENTS_AT_ONCE):
                watch = self._watches.get(fd)
                if watch is not None:
                    self._guarded(watch[1], events)
            self._expire()
            for _ in range(len(self._soon)):
                self._guarded(self._soon.popleft())

    def stop(self) -> None:
        """Let `run` return after the current round."""
        self._running = False

    def close(self) -> None:
        """Give back descriptors and the signal. Also for a forked child that will not serve."""
        if self._signal_fds[0] >= 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._signal_fds[0])
            os.close(self._signal_fds[1])
            self._signal_fds = (-1, -1)
        self._epoll.close()

    def _patience(self) -> float:
        if self._soon or not self._running:
            return 0.0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
            self._cancelled = max(0, self._cancelled - 1)
        if not self._timers or self._stopped_at is not None:
            return -1.0
        return min(_LONGEST_WAIT, max(0.0, self._timers[0][0] - self.time()))

    def _expire(self) -> None:
        if not self._timers or self._stopped_at is not None:
            return
        now = self.time()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled = max(0, self._cancelled - 1)
            else:
                self._guarded(callback)

    def _guarded(self, callback: Callable[..., None], *arguments: int) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - a bug in one callback must not end PID 1 and all it serves
            sys.excepthook(*sys.exc_info())
