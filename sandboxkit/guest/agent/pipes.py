"""The agent's ends of a process's pipes."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import termios
from collections import deque
from typing import Callable, Deque, Optional, Tuple

from . import frames
from .loop import READABLE, WRITABLE, Loop
from .ring import Ring

# Not in the fcntl module of every version.
_F_SETPIPE_SZ = 1031
_PIPE_SIZE = 1_048_576
_READS_AT_ONCE = 4


def make_pipe() -> Tuple[int, int]:
    """A pipe, its read end and write end, as large as is allowed.

    Raises:
        OSError: no more descriptors.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write_end, _F_SETPIPE_SZ, _PIPE_SIZE)
    return read_end, write_end


class Output:
    """Reads an output pipe into a ring, up to an offset it is given.

    Args:
        loop: the reactor.
        fd: the read end; owned from now on. -1 is an output that has ended.
        changed: called after bytes or the end were read.

    Attributes:
        ring: the last of what was read.
        ended: whether the end was read.
        limit: the offset from which on nothing is read; ``None`` is no limit.
    """

    def __init__(self, loop: Loop, fd: int, changed: Callable[[], None]) -> None:
        self.ring = Ring()
        self.ended = fd < 0
        self.limit: Optional[int] = None
        self._loop = loop
        self._fd = fd
        self._changed = changed
        if not self.ended:
            os.set_blocking(fd, False)
            loop.watch(fd, READABLE, self._on_readable)

    def set_limit(self, limit: Optional[int]) -> None:
        """Read on, or not, as `limit` says."""
        self.limit = limit
        if self.ended:
            return
        if self._allowed() > 0:
            self._loop.watch(self._fd, READABLE, self._on_readable)
        else:
            # Not watching for nothing: a hang-up would be reported for ever.
            self._loop.unwatch(self._fd)

    def written(self) -> int:
        """The offset up to which there is output by now, read or still in the pipe."""
        if self.ended:
            return self.ring.end
        count = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, count)
        return self.ring.end + count[0]

    def _allowed(self) -> int:
        return _PIPE_SIZE if self.limit is None else self.limit - self.ring.end

    def _on_readable(self, _events: int) -> None:
        for _ in range(_READS_AT_ONCE):
            allowed = self._allowed()
            if allowed <= 0 or not self._read(allowed):
                break
        self._changed()

    def read_now(self) -> None:
        """Read what is there without waiting to be told."""
        if not self.ended:
            self._on_readable(READABLE)

    def _read(self, most: int) -> bool:
        data = self._receive(min(frames.MAX_DATA, most))
        if data:
            self.ring.append(data)
            return True
        if data is not None:
            self.close()
        return False

    def _receive(self, most: int) -> Optional[bytes]:
        """Bytes, none at the end, or ``None`` if there are none now."""
        try:
            return os.read(self._fd, most)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Read no more. Idempotent."""
        if not self.ended:
            self.ended = True
            self._loop.unwatch(self._fd)
            os.close(self._fd)


class Input:
    """Writes a process's standard input as it takes it.

    Args:
        loop: the reactor.
        fd: the write end; owned from now on.
        consumed: called with the number of bytes that were written, or thrown away because the
            process has closed its end.
        broken: called once, when the process has closed its end before we closed ours.
    """

    def __init__(
        self, loop: Loop, fd: int, consumed: Callable[[int], None], broken: Callable[[], None]
    ) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._consumed = consumed
        self._broken = broken
        self._queue: Deque[memoryview] = deque()
        self._finishing = False
        self.closed = False
        # An error is reported without being asked for: the process has closed its end.
        loop.watch(fd, 0, self._on_ready)

    def write(self, data: bytes, fin: bool) -> None:
        """Queue bytes, and the end after them."""
        if self.closed:
            self._consumed(len(data))
            return
        if data:
            self._queue.append(memoryview(data))
        self._finishing = self._finishing or fin
        self._write()

    def _on_ready(self, events: int) -> None:
        if events & ~WRITABLE:
            self._break()
        else:
            self._write()

    def _write(self) -> None:
        while self._queue:
            piece = self._queue[0]
            try:
                count = os.write(self._fd, piece)
            except BlockingIOError:
                break
            except OSError:
                # A pipe nobody reads, or a terminal nobody has open.
                self._break()
                return
            if count == len(piece):
                self._queue.popleft()
            else:
                self._queue[0] = piece[count:]
            self._consumed(count)
        if self._queue:
            self._loop.watch(self._fd, WRITABLE, self._on_ready)
        elif self._finishing:
            self.close()
        else:
            self._loop.watch(self._fd, 0, self._on_ready)

    def _break(self) -> None:
        if self.closed:
            return
        left = sum(len(piece) for piece in self._queue)
        self.close()
        self._consumed(left)
        self._broken()

    def close(self) -> None:
        """Let the process see the end; what is queued is lost. Idempotent."""
        if not self.closed:
            self.closed = True
            self._queue.clear()
            self._loop.unwatch(self._fd)
            os.close(self._fd)
