"""Lists and removes directories a batch at a time, so that others are served in between."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, List, Optional, Tuple

from .beneath import NAMING
from .loop import Loop
from .stream import Stream

if TYPE_CHECKING:
    from .files import FileArguments

_BATCH = 256
_DEEPEST = 32
_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What opening or unlinking says of a name that stands for something else than a moment ago.
_CHANGED = (errno.EISDIR, errno.ELOOP, errno.ENOTDIR)
# Of escaped JSON in one event, at most; far below the frame's limit.
_BATCH_BYTES = 262_144

Describe = Callable[[bytes, os.stat_result], Dict[str, Any]]


class Walk:
    """Work that goes on step by step in the reactor until done, failed, or let go.

    A subclass has `step`, which does a batch as the operation's user.
    """

    def __init__(self, loop: Loop, stream: Stream, common: FileArguments) -> None:
        self.stream = stream
        self.common = common
        self._loop = loop
        self._waits = False
        stream.on_reset = self._on_reset
        stream.on_writable = self._on_writable
        loop.call_soon(self._go_on)

    def step(self) -> bool:
        """Do some of it; false when all is done.

        Raises:
            OSError: it cannot go on.
        """
        raise NotImplementedError

    def outcome(self) -> Dict[str, Any]:
        """What the RESULT says when all is done."""
        return {}

    def close(self) -> None:
        """Let go of what it holds; nothing more is done. Idempotent."""

    def _on_reset(self) -> None:
        self.close()
        self.stream.result({})

    def _on_writable(self) -> None:
        if self._waits:
            self._waits = False
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.stream.ended:
            return
        if self.stream.connection.congested:
            self._waits = True
            self.stream.connection.wait_writable(self.stream)
            return
        try:
            with self.common.acting():
                more = self.step()
        except OSError as error:
            self.close()
            self.stream.fail(self.common.error(error))
            return
        if more:
            self._loop.call_soon(self._go_on)
        else:
            self.close()
            self.stream.result(self.outcome())


class Listing(Walk):
    """Sends what is in a directory, `depth` levels deep; links are not followed."""

    def __init__(
        self, loop: Loop, stream: Stream, common: FileArguments, depth: int, describe: Describe
    ) -> None:
        super().__init__(loop, stream, common)
        self._depth = depth
        self._describe = describe
        self._waiting: Deque[Tuple[bytes, int]] = deque([(common.raw, 1)])
        self._level = 1
        self._scan: Optional[Any] = None

    def step(self) -> bool:
        """Send one batch."""
        entries: List[Dict[str, Any]] = []
        size = 0
        while len(entries) < _BATCH and size < _BATCH_BYTES:
            entry = self._next()
            if entry is None:
                break
            described = self._entry(entry.path)
            if described is None:
                continue
            entries.append(described)
            # A byte may take six in JSON.
            size += 6 * (len(entry.path) + len(described["target"] or "")) + 200
        if entries:
            self.stream.event({"event": "entries", "entries": entries})
        return self._scan is not None or bool(self._waiting)

    def _next(self) -> Optional[os.DirEntry[bytes]]:
        while True:
            if self._scan is None:
                if not self._waiting:
                    return None
                self._enter(*self._waiting.popleft())
                continue
            entry: Optional[os.DirEntry[bytes]] = next(self._scan, None)
            if entry is not None:
                return entry
            self._scan.close()
            self._scan = None

    def _enter(self, path: bytes, level: int) -> None:
        try:
            self._scan = os.scandir(path)
            self._level = level
        except OSError:
            # What is deeper may vanish or be closed to this user; it was listed itself.
            if level == 1:
                raise

    def _entry(self, path: bytes) -> Optional[Dict[str, Any]]:
        try:
            found = os.lstat(path)
            described = self._describe(path, found)
        except FileNotFoundError:
            return None
        except PermissionError:
            if self._level == 1:
                raise
            return None
        if stat.S_ISDIR(found.st_mode) and self._level < self._depth:
            self._waiting.append((path, self._level + 1))
        return described


class Removal(Walk):
    """Removes a directory and all in it; links are removed, not followed.

    By descriptors: whoever may write in the tree could else put a link where a directory was, and
    have removed what another user's rights are needed for.
    """

    def __init__(self, loop: Loop, stream: Stream, common: FileArguments) -> None:
        super().__init__(loop, stream, common)
        self._above = -1
        self._stack: List[Tuple[int, bytes]] = []
        stream.on_lost = lambda _clean: self.close()

    def step(self) -> bool:
        """Remove one batch."""
        if self._above < 0:
            self._open()
        left = _BATCH
        while self._stack and left > 0:
            left -= self._empty(*self._stack[-1], left)
        return bool(self._stack)

    def close(self) -> None:
        """Let go of the descriptors."""
        while self._stack:
            os.close(self._stack.pop()[0])
        if self._above >= 0:
            os.close(self._above)
            self._above = -1

    def _open(self) -> None:
        parent, name = os.path.split(self.common.raw.rstrip(b"/") or b"/.")
        self._above = os.open(parent or b".", NAMING)
        self._stack.append((os.open(name, _INTO, dir_fd=self._above), name))

    def _empty(self, fd: int, name: bytes, most: int) -> int:
        """Remove up to so many entries of a directory, then it, or begin with one that is in it."""
        done = 0
        with os.scandir(fd) as scan:
            for entry in scan:
                if done >= most:
                    return done
                done += 1
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=fd)
                    elif self._enter(fd, os.fsencode(entry.name)):
                        return done
                except FileNotFoundError:
                    continue  # somebody else was faster
                except OSError as error:
                    if error.errno not in _CHANGED:
                        raise
                    return done  # it is something else by now, which the next look tells
        self._stack.pop()
        os.close(fd)
        above = self._stack[-1][0] if self._stack else self._above
        try:
            os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            # It was renamed, and this is another; or somebody has put something into it.
            if not self._stack or error.errno not in (*_CHANGED, errno.ENOTEMPTY):
                raise
        return done + 1

    def _enter(self, fd: int, name: bytes) -> bool:
        """Go on in a directory; false if it was moved up instead, being too deep."""
        if len(self._stack) < _DEEPEST:
            self._stack.append((os.open(name, _INTO, dir_fd=fd), name))
            return True
        # Each level takes a descriptor; at the top it is found again.
        os.rename(name, os.urandom(16).hex().encode(), src_dir_fd=fd, dst_dir_fd=self._stack[0][0])
        return False
