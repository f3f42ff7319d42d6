"""Saves the sandbox's files: a tar of the overlay's upper directory, written by a child."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from typing import IO, TYPE_CHECKING, Callable, Dict, List, NoReturn, Optional, Tuple, cast

from .loop import READABLE
from .server import Server

if TYPE_CHECKING:
    import tarfile

_BUFFER = 262_144
_LONGEST_ERROR = 4096
# Bytes in holes that make a file worth storing without them.
_LEAST_HOLES = 65_536
# What comes after so many is stored with its holes.
_MOST_SEGMENTS = 10_000


def start_snapshot(server: Server, pipe: int, done: Callable[[str], None]) -> None:
    """Write the tar into `pipe`, which is closed afterwards; the sandbox goes on meanwhile.

    Args:
        server: of the agent.
        pipe: the write end.
        done: called with what went wrong, or an empty string.
    """
    if server.config.upper_fd < 0:
        os.close(pipe)
        done("this sandbox has nothing to save")
        return
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError as error:
        for fd in (pipe, read_end, write_end):
            os.close(fd)
        done(str(error))
        return
    if not pid:
        _child(server.config.upper_fd, pipe, write_end)
    os.close(pipe)
    os.close(write_end)
    _await_verdict(server, pid, read_end, done)


def _await_verdict(server: Server, pid: int, fd: int, done: Callable[[str], None]) -> None:
    verdict = bytearray()
    open_until_read = True
    status: Optional[int] = None

    def readable(_events: int) -> None:
        nonlocal open_until_read
        piece = os.read(fd, _LONGEST_ERROR)
        verdict.extend(piece)
        if not piece:
            server.loop.unwatch(fd)
            os.close(fd)
            open_until_read = False
            conclude()

    def exited(how: int) -> None:
        nonlocal status
        status = how
        conclude()

    def conclude() -> None:
        if open_until_read or status is None:
            return
        if status and not verdict:
            verdict.extend(b"the child that wrote it was ended")
        done(verdict.decode("utf-8", "replace"))

    server.on_exit(pid, exited)
    server.loop.watch(fd, READABLE, readable)


def _child(upper: int, pipe: int, verdict: int) -> NoReturn:
    """Write the archive; never returns."""
    code = 1
    try:
        _keep_only(upper, pipe, verdict)
        os.fchdir(upper)
        with os.fdopen(pipe, "wb", _BUFFER) as out:
            write_archive(out)
        code = 0
    except (OSError, ValueError, MemoryError) as error:
        with contextlib.suppress(OSError):
            os.write(verdict, repr(error).encode("utf-8", "replace")[:_LONGEST_ERROR])
    finally:
        os._exit(code)


def _keep_only(*fds: int) -> None:
    """Close everything else, lest a connection stay open for as long as this takes."""
    lowest = 3
    for fd in sorted(fds):
        os.closerange(lowest, fd)
        lowest = fd + 1
    os.closerange(lowest, max(lowest, os.sysconf("SC_OPEN_MAX")))


def write_archive(out: IO[bytes]) -> None:
    """Write a PAX archive of the current directory: whiteouts and extended attributes too.

    Raises:
        OSError: something cannot be read, or `out` not written.
    """
    import tarfile

    seen: Dict[Tuple[int, int], str] = {}
    with tarfile.open(
        fileobj=out,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        bufsize=_BUFFER,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        waiting: List[str] = ["."]
        while waiting:
            path = waiting.pop()
            try:
                found = os.lstat(path)
                if stat.S_ISSOCK(found.st_mode):
                    continue
                names = sorted(os.listdir(path)) if stat.S_ISDIR(found.st_mode) else []
                _add(archive, path, found, seen)
            except FileNotFoundError:
                continue  # the sandbox goes on meanwhile, and has removed it
            waiting += [os.path.join(path, name) for name in names]


def _add(
    archive: tarfile.TarFile, path: str, found: os.stat_result, seen: Dict[Tuple[int, int], str]
) -> None:
    member = archive.tarinfo(os.path.normpath(path))
    member.mode = stat.S_IMODE(found.st_mode)
    member.uid, member.gid = found.st_uid, found.st_gid
    member.mtime = found.st_mtime_ns // 1_000_000_000
    member.pax_headers = {"mtime": _decimal(found.st_mtime_ns), **_extended(path)}
    member.type = _member_type(found.st_mode)
    key = (found.st_dev, found.st_ino)
    if member.type == b"0":
        if found.st_nlink > 1 and key in seen:
            member.type, member.linkname = b"1", seen[key]
        else:
            seen[key] = member.name
            member.size = found.st_size
    elif member.type == b"2":
        member.linkname = os.readlink(path)
    elif member.type in (b"3", b"4"):
        member.devmajor, member.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    if member.size:
        with _opened(path, member.mode) as content:
            segments = [(0, member.size)]
            if found.st_blocks * 512 < member.size:
                segments = _data_segments(content.fileno(), member.size)
            stored = sum(length for _, length in segments)
            if member.size - stored >= _LEAST_HOLES:
                written = ";".join(f"{offset},{length}" for offset, length in segments)
                member.pax_headers["SANDBOXKIT.sparse"] = written
                member.pax_headers["SANDBOXKIT.size"] = str(member.size)
                member.size = stored
            else:
                segments = [(0, member.size)]
            archive.addfile(member, cast("IO[bytes]", _Segments(content, segments)))
    else:
        archive.addfile(member)


def _decimal(nanoseconds: int) -> str:
    """Seconds, exactly."""
    seconds, rest = divmod(abs(nanoseconds), 1_000_000_000)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09}"


def _data_segments(fd: int, size: int) -> List[Tuple[int, int]]:
    """Where a file is not a hole: offset and length, at least one pair, which may be empty."""
    segments: List[Tuple[int, int]] = []
    at = 0
    try:
        while at < size:
            start = os.lseek(fd, at, os.SEEK_DATA)
            if start >= size:
                break
            at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
            if len(segments) == _MOST_SEGMENTS:
                at = size
            segments.append((start, at - start))
    except OSError as error:
        if error.errno != errno.ENXIO:  # there is no more data
            return [(0, size)]
    return segments or [(0, 0)]


class _Segments:
    """Parts of a file, one after the other.

    The file may shrink while it is read; what is missing then reads as zeros.
    """

    def __init__(self, file: IO[bytes], segments: List[Tuple[int, int]]) -> None:
        self._file = file
        self._segments = deque(segments)
        self._left = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, of which there are as many."""
        pieces: List[bytes] = []
        while size:
            if not self._left:
                offset, self._left = self._segments.popleft()
                self._file.seek(offset)
            count = min(size, self._left)
            pieces.append(self._file.read(count).ljust(count, b"\0"))
            self._left -= count
            size -= count
        return b"".join(pieces)


def _member_type(mode: int) -> bytes:
    kinds = {
        stat.S_IFREG: b"0",
        stat.S_IFLNK: b"2",
        stat.S_IFCHR: b"3",
        stat.S_IFBLK: b"4",
        stat.S_IFDIR: b"5",
        stat.S_IFIFO: b"6",
    }
    return kinds[stat.S_IFMT(mode)]


def _extended(path: str) -> Dict[str, str]:
    """The user's extended attributes, as PAX headers."""
    headers: Dict[str, str] = {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return headers
    for name in names:
        # Where a copied file came from means nothing in another sandbox.
        if name.startswith("user.") and name != "user.overlay.origin":
            value = os.getxattr(path, name, follow_symlinks=False)
            headers["SCHILY.xattr." + name] = value.decode("utf-8", "surrogateescape")
    return headers


def _opened(path: str, mode: int) -> IO[bytes]:
    try:
        return open(path, "rb")
    except PermissionError:
        # The owner may have closed it to themselves; as the owner we may open it for a moment.
        os.chmod(path, mode | stat.S_IRUSR)
        try:
            return open(path, "rb")
        finally:
            os.chmod(path, mode)
