"""Everything in a tree, one entry at a time, in little memory however large it is."""

from __future__ import annotations

import os
import stat
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Set

from .beneath import Beneath
from .treeentry import PART_PREFIX, Entry, decode, entry_of

# Directories open at once; the names in one that is deeper are read at once instead.
_MOST_OPEN = 64


class _Level(NamedTuple):
    parts: List[bytes]
    entry: Entry
    names: Iterator[bytes]


class TreeWalk:
    """The entries of a tree: a directory, then all in it, then the directory again, ``leaving``.

    Links are told of and not followed. A directory that cannot be read is told of, with the
    reason. Partial files of transfers are passed over.

    Args:
        top: the directory.
        pass_over: whether to leave out a name and all below it; its second argument says whether
            it is a directory.

    Raises:
        OSError: the top cannot be read.
    """

    def __init__(self, top: bytes, pass_over: Optional[Callable[[str, bool], bool]] = None) -> None:
        self._place = Beneath(top)
        self._pass_over = pass_over
        self._levels: List[_Level] = []
        self._open: Set[Any] = set()  # what `os.scandir` gives
        try:
            found = os.stat(b".", dir_fd=self._place.directory([]))
            self._top: Optional[Entry] = entry_of("", found)
            self._enter([], self._top)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        if self._top is not None:
            entry, self._top = self._top, None
            return entry
        while self._levels:
            level = self._levels[-1]
            name = next(level.names, None)
            if name is None:
                self._levels.pop()
                return level.entry._replace(leaving=True)
            told = self._look(level, name)
            if told is not None:
                return told
        raise StopIteration

    def close(self) -> None:
        """Let go of what is open. Idempotent."""
        self._levels.clear()
        for scan in list(self._open):
            self._finish(scan)
        self._place.close()

    def _look(self, level: _Level, last: bytes) -> Optional[Entry]:
        if last.startswith(PART_PREFIX):
            return None
        parts = [*level.parts, last]
        name = decode(b"/".join(parts))
        target = None
        try:
            parent = self._place.directory(level.parts)
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            if self._pass_over is not None and self._pass_over(name, stat.S_ISDIR(found.st_mode)):
                return None
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(last, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return None  # it went away meanwhile
        except OSError as error:
            # Of a directory that may be read and not entered, only the names are known.
            return Entry(name, "other", errno=error.errno or 0)
        entry = entry_of(name, found, target)
        if entry.type != "directory":
            return entry
        try:
            self._enter(parts, entry)
        except FileNotFoundError:
            return None
        except OSError as error:
            return entry._replace(errno=error.errno or 0)
        return entry

    def _enter(self, parts: List[bytes], entry: Entry) -> None:
        # Opened anew, for reading.
        fd = os.open(
            b".",
            os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
            dir_fd=self._place.directory(parts),
        )
        try:
            scan = os.scandir(fd)  # has a descriptor of its own
        finally:
            os.close(fd)
        self._open.add(scan)
        names = self._names(scan)
        if len(self._open) > _MOST_OPEN:
            names = iter(list(names))
        self._levels.append(_Level(parts, entry, names))

    def _names(self, scan: Any) -> Iterator[bytes]:
        for found in scan:
            # Read by descriptor, a directory gives its names as text.
            yield os.fsencode(found.name)
        self._finish(scan)

    def _finish(self, scan: Any) -> None:
        self._open.discard(scan)
        scan.close()
