"""Writes a tree: directories, links, and files that appear whole or not at all.

A file is written under another name beside its own (`part_name`), which stays when the transfer is
cut off, so that the next one can go on from there; renaming it is the last step.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import List, Optional

from .beneath import NAMING, Beneath
from .treeentry import LEAST_PART, Entry, entry_of, part_name

_OPEN_PART = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class TreeStore:
    """A tree that is written, or looked at. Nothing outside of it is touched, whatever is in it.

    Every method raises `OSError` where the system refuses, and `ValueError` for a bad name.

    Args:
        top: the directory.
    """

    def __init__(self, top: bytes) -> None:
        self._place = Beneath(top)
        self._entry: Optional[Entry] = None
        self._fd = -1
        self._written = 0

    # -- looking --

    def look(self, name: str) -> Optional[Entry]:
        """What is there under a name, links not followed; ``None`` for nothing.

        What may not be looked at is ``other`` and carries the reason.
        """
        try:
            return self._look(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            return Entry(name, "other", errno=error.errno or errno.EACCES)

    def _look(self, name: str) -> Optional[Entry]:
        parent, last = self._place.parent(name)
        partial = 0 if last == b"." else self._partial(parent, last)
        try:
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            target = None
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(last, dir_fd=parent)
        except FileNotFoundError:
            return Entry(name, "other", partial=partial) if partial else None
        return entry_of(name, found, target)._replace(partial=partial)

    def _partial(self, parent: int, last: bytes) -> int:
        with contextlib.suppress(OSError):
            found = os.stat(part_name(last), dir_fd=parent, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                return found.st_size
        return 0

    # -- directories, links, attributes --

    def put(self, entry: Entry) -> None:
        """Make a directory or a link, or set the mode and time of what is there."""
        parent, last = self._place.parent(entry.name)
        if entry.leaving:
            self._settle(parent, last, entry)
        elif entry.type == "directory":
            self._enter(parent, last, entry.mode)
        elif entry.type == "symlink":
            self._link(parent, last, entry)
        else:
            raise OSError(errno.EINVAL, "neither a directory nor a link")

    def _settle(self, parent: int, last: bytes, entry: Entry) -> None:
        fd = os.open(last, _READ, dir_fd=parent)
        try:
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode) != (entry.type == "directory"):
                raise OSError(errno.ESTALE, "it has changed meanwhile")
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except PermissionError:
            # A directory that is somebody else's, and was here before, keeps what it has.
            if entry.type != "directory":
                raise
        finally:
            os.close(fd)

    def _enter(self, parent: int, last: bytes, mode: int) -> None:
        if last == b".":
            return
        usable = mode | 0o700  # until all in it is done
        try:
            os.mkdir(last, usable, dir_fd=parent)
        except FileExistsError:
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(last, dir_fd=parent)
                os.mkdir(last, usable, dir_fd=parent)
            elif found.st_mode & 0o700 != 0o700:
                with contextlib.suppress(PermissionError, FileNotFoundError):
                    self._open_up(parent, last, found)

    def _open_up(self, parent: int, last: bytes, found: os.stat_result) -> None:
        """Let its owner into a directory that is there."""
        usable = stat.S_IMODE(found.st_mode) | 0o700
        fd = os.open(last, NAMING | os.O_NOFOLLOW, dir_fd=parent)
        try:
            # Not `fchmod`, which wants a descriptor for reading, and that may be refused.
            os.chmod(b"/proc/self/fd/%d" % fd, usable)
        finally:
            os.close(fd)

    def _link(self, parent: int, last: bytes, entry: Entry) -> None:
        target = (entry.target or "").encode("utf-8", "surrogateescape")
        try:
            os.symlink(target, last, dir_fd=parent)
        except FileExistsError:
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            os.unlink(last, dir_fd=parent)
            os.symlink(target, last, dir_fd=parent)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(last, ns=times, dir_fd=parent, follow_symlinks=False)

    # -- files --

    def begin(self, entry: Entry, offset: int = 0) -> None:
        """Begin to write a file, or go on with what is there of it from byte `offset`."""
        self.abort()
        parent, last = self._place.parent(entry.name)
        self._fd = _open_part(parent, part_name(last), offset)
        self._entry = entry
        self._written = offset

    def data(self, content: bytes) -> None:
        """The next bytes of the file."""
        view = memoryview(content)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(content)

    def end(self) -> None:
        """The file is whole: give it its mode, its time and its name."""
        entry = self._entry
        if entry is None:
            raise OSError(errno.EINVAL, "no file was begun")
        parent, last = self._place.parent(entry.name)
        try:
            self._keep_owner(parent, last)
            os.fchmod(self._fd, entry.mode)
            os.utime(self._fd, ns=(entry.mtime_ns, entry.mtime_ns))
            os.rename(part_name(last), last, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            self.abort()
            raise
        self._close()

    def _keep_owner(self, parent: int, last: bytes) -> None:
        try:
            replaced = os.stat(last, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        made = os.fstat(self._fd)
        owner = (replaced.st_uid, replaced.st_gid)
        if stat.S_ISREG(replaced.st_mode) and owner != (made.st_uid, made.st_gid):
            # Only the superuser may; for others the file becomes their own.
            with contextlib.suppress(OSError):
                os.fchown(self._fd, *owner)

    def abort(self) -> None:
        """Leave a file that was begun; what came of it is kept if it is worth it. Idempotent."""
        entry, written = self._entry, self._written
        if entry is None:
            return
        self._close()
        if written < LEAST_PART:
            self.discard(entry.name)

    def discard(self, name: str) -> None:
        """Remove what is there of a file that did not come whole, if there is any."""
        with contextlib.suppress(OSError):
            parent, last = self._place.parent(name)
            os.unlink(part_name(last), dir_fd=parent)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._entry = None

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self.abort()
        self._place.close()


def _open_part(parent: int, name: bytes, offset: int) -> int:
    """A descriptor at `offset` of a partial file that is ours and that nobody else writes."""
    fd = -1
    try:
        fd = os.open(name, _OPEN_PART | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)
    except FileExistsError:
        fd = _open_left_over(parent, name)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(fd)
        if found.st_size < offset:
            raise OSError(errno.ESTALE, "what had come of it is not there any more")
        os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
    except BlockingIOError:
        os.close(fd)
        raise OSError(errno.EBUSY, "another transfer is writing this file") from None
    except OSError:
        os.close(fd)
        raise
    return fd


def _open_left_over(parent: int, name: bytes) -> int:
    try:
        fd = os.open(name, _OPEN_PART, dir_fd=parent)
    except PermissionError:
        fd = -1
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        fd = -1  # a link, or a socket
    if fd >= 0:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid():
            return fd
        os.close(fd)
    # Somebody else has put it there, and could change what we write.
    os.unlink(name, dir_fd=parent)
    return os.open(name, _OPEN_PART | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)


def make_top(top: bytes, mode: Optional[int] = None) -> None:
    """Make a tree's top, and what is missing above it.

    Args:
        top: the directory.
        mode: permission bits of the last of what is made; its owner may do all for now.
    """
    missing: List[bytes] = []
    while not os.path.isdir(top):
        missing.append(top)
        parent = os.path.dirname(top.rstrip(b"/"))
        if parent in (b"", top):
            break
        top = parent
    while missing:
        directory = missing.pop()
        wanted = 0o755 if mode is None or missing else mode | 0o700
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, wanted)
