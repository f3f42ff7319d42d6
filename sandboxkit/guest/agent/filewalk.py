"""Lists and removes directories a batch at a time, so that others are served in between."""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, List, Optional, Tuple

from .loop import Loop
from .stream import Stream

if TYPE_CHECKING:
    from .files import FileArguments

_BATCH = 256
_LONGEST_PATH = 3000
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
        stream.on_reset = lambda: stream.result({})
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
            self.stream.fail(self.common.error(error))
            return
        if more:
            self._loop.call_soon(self._go_on)
        else:
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
    """Removes a directory and all in it; links are removed, not followed."""

    def __init__(self, loop: Loop, stream: Stream, common: FileArguments) -> None:
        super().__init__(loop, stream, common)
        self._stack: List[bytes] = [common.raw.rstrip(b"/") or b"/"]

    def step(self) -> bool:
        """Remove one batch."""
        left = _BATCH
        while self._stack and left > 0:
            left -= self._empty(self._stack[-1], left)
        return bool(self._stack)

    def _empty(self, directory: bytes, most: int) -> int:
        """Remove up to so many entries of it, then itself, or begin with a directory in it."""
        done = 0
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    if done >= most:
                        return done
                    done += 1
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                    elif len(entry.path) > _LONGEST_PATH:
                        # Deeper, no path would reach; at the top it is found again.
                        os.rename(
                            entry.path, os.path.join(self._stack[0], os.urandom(16).hex().encode())
                        )
                    else:
                        self._stack.append(entry.path)
                        return done
            os.rmdir(directory)
        except FileNotFoundError:
            # Somebody else was faster.
            pass
        self._stack.pop()
        return done + 1
