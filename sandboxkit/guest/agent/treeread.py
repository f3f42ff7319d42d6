"""Reads the files of a tree: their content in pieces, and checksums of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from .beneath import Beneath
from .treeentry import Entry, entry_of, part_name

#: Bytes read at once.
CHUNK = 65_536
#: Bytes of a file that says it is empty and is not, as those of ``/proc`` do.
MOST_UNTOLD = 4 << 20
_HASHED_AT_ONCE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Wanted(NamedTuple):
    """A file to read.

    Attributes:
        name: in the tree.
        offset: the first byte that is wanted, if the file is still of that time.
        mtime_ns: that time.
    """

    name: str
    offset: int = 0
    mtime_ns: int = 0


class Begun(NamedTuple):
    """A file begins, or a directory or link is told of as a whole.

    Attributes:
        entry: as it is now.
        offset: of the first byte that follows.
    """

    entry: Entry
    offset: int = 0


class Ended(NamedTuple):
    """A file ends.

    Attributes:
        name: in the tree.
        errno: why it could not be read, else 0. Nothing was begun then, or not all of it came.
    """

    name: str
    errno: int = 0


Part = Union[Begun, bytes, Ended]


def open_below(place: Beneath, name: str, partial: bool = False) -> int:
    """A descriptor of a regular file for reading; nothing is waited for, no link followed.

    Raises:
        OSError: also for what is not a regular file.
        ValueError: the name is none.
    """
    parent, last = place.parent(name)
    if partial:
        last = part_name(last)
    # Looked at before it is opened, since opening a device can have effects.
    _check(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode)
    fd = os.open(last, _FLAGS, dir_fd=parent)
    try:
        _check(os.fstat(fd).st_mode)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.ESTALE, "not a regular file any more")


def read_file(place: Beneath, wanted: Wanted) -> Iterator[Part]:
    """A file's parts; one that cannot be read is only ``Ended``.

    What is added to it meanwhile is left out.
    """
    try:
        fd = open_below(place, wanted.name)
    except OSError as error:
        yield Ended(wanted.name, error.errno or errno.EIO)
        return
    try:
        found = os.fstat(fd)
        if not found.st_size:
            yield from _read_untold(fd, entry_of(wanted.name, found))
            return
        same = found.st_mtime_ns == wanted.mtime_ns and wanted.offset <= found.st_size
        offset = wanted.offset if same else 0
        yield Begun(entry_of(wanted.name, found), offset)
        failure = 0
        while offset < found.st_size:
            try:
                data = os.pread(fd, min(CHUNK, found.st_size - offset), offset)
            except OSError as error:
                failure = error.errno or errno.EIO
                break
            if not data:
                break  # it was cut short
            offset += len(data)
            yield data
    finally:
        os.close(fd)
    yield Ended(wanted.name, failure)


def _read_untold(fd: int, entry: Entry) -> Iterator[Part]:
    """A file whose size is 0: what is in it, if anything, has to be read before it is told of."""
    chunks: List[bytes] = []
    size = 0
    try:
        while True:
            data = os.pread(fd, CHUNK, size)
            if not data:
                break
            chunks.append(data)
            size += len(data)
            if size > MOST_UNTOLD:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    except OSError as error:
        yield Ended(entry.name, error.errno or errno.EIO)
        return
    yield Begun(entry._replace(size=size))
    yield from chunks
    yield Ended(entry.name)


class Digests:
    """SHA-256 checksums of files, a slice at a time.

    Args:
        place: the tree.
        wanted: names, how many bytes from the beginning (``None`` is all), and whether what has
            come of a file is meant.

    Attributes:
        found: in the same order, as hexadecimal digits; ``None`` for what is not there, is shorter,
            or cannot be read.
    """

    def __init__(self, place: Beneath, wanted: Sequence[Tuple[str, Optional[int], bool]]) -> None:
        self.found: List[Optional[str]] = []
        self._place = place
        self._wanted = wanted
        self._fd = -1
        self._left: Optional[int] = None
        self._hash: Any = None

    def step(self) -> bool:
        """Read and hash the next slice; false when all is done."""
        if len(self.found) == len(self._wanted):
            return False
        try:
            if self._fd < 0:
                self._open(*self._wanted[len(self.found)])
            self._slice()
        except OSError:
            self._next(None)
        return len(self.found) < len(self._wanted)

    def close(self) -> None:
        """Let go of what is open. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, name: str, length: Optional[int], partial: bool) -> None:
        self._fd = open_below(self._place, name, partial)
        self._left = length
        self._hash = hashlib.sha256()

    def _slice(self) -> None:
        most = _HASHED_AT_ONCE if self._left is None else min(_HASHED_AT_ONCE, self._left)
        data = os.read(self._fd, most) if most else b""
        if data:
            self._hash.update(data)
            if self._left is not None:
                self._left -= len(data)
        elif self._left:
            self._next(None)
        else:
            self._next(self._hash.hexdigest())

    def _next(self, digest: Optional[str]) -> None:
        self.close()
        self.found.append(digest)
