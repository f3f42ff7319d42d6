"""Putting a snapshot's files into a new sandbox's layer.

The archive comes from inside a sandbox, so it is hostile. It is unpacked by a process whose root
directory is the empty layer and whose ids are the new sandbox's: no name in it, and no link on the
way, leads anywhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import tarfile
from collections.abc import Callable
from typing import IO, NoReturn

from .idmap import IdMap
from .seal import CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, seal
from .seccomp import install
from .syscalls import CLONE_NEWUSER, die_with_parent, set_dumpable, unshare

__all__ = ["TooLargeError", "dress", "filler", "make", "times"]

_CAPABILITIES = frozenset({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID})
_XATTR = "SCHILY.xattr."
_SPARSE, _SIZE = "SANDBOXKIT.sparse", "SANDBOXKIT.size"
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_TIME = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,30}))?", re.ASCII)
_BUFFER = 1 << 18
_NO_SPACE = "no space: "


class TooLargeError(Exception):
    """The snapshot does not fit the sandbox's disk."""


def filler(
    pipe: int, ids: IdMap, inner: str, last_capability: int, program: ctypes.Structure
) -> Callable[[int], None]:
    """What fills a directory, given its descriptor, from an archive that comes through `pipe`.

    `inner` are the sandbox's id maps. It raises `TooLargeError` or `OSError`.
    """

    def fill(directory: int) -> None:
        ours, theirs = os.pipe()
        go, wait = os.pipe()[::-1]
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            os.close(go)
            _unpack(pipe, directory, theirs, wait, ids, last_capability, program)
        os.close(theirs)
        os.close(wait)
        os.close(pipe)
        with os.fdopen(ours, "rb") as said, os.fdopen(go, "wb", 0) as start:
            outer = said.readline().decode().strip()
            if outer.isdigit():
                for name in ("uid_map", "gid_map"):
                    _write(f"/proc/{outer}/{name}", inner)
                start.write(b"!")
                outer = ""
            problem = outer + said.read().decode(errors="replace")
        _, status = os.waitpid(pid, 0)
        if problem.startswith(_NO_SPACE):
            raise TooLargeError("the snapshot needs more disk than this sandbox has")
        if problem or status:
            raise OSError(f"the snapshot cannot be unpacked: {problem or 'the process died'}")

    return fill


def _unpack(
    pipe: int,
    directory: int,
    report: int,
    wait: int,
    ids: IdMap,
    last_capability: int,
    program: ctypes.Structure,
) -> NoReturn:
    status = 1
    try:
        die_with_parent()
        outer = os.readlink("/proc/self")
        set_dumpable(True)  # else nobody below the host's root could write our map
        unshare(CLONE_NEWUSER)
        os.write(report, f"{outer}\n".encode())
        if os.read(wait, 1):
            if ids.kind != "single":  # the kernel forbids it there
                os.setgroups([])
            os.setresgid(ids.root_id, ids.root_id, ids.root_id)
            os.setresuid(ids.root_id, ids.root_id, ids.root_id)
            os.fchdir(directory)
            os.chroot(".")
            seal(last_capability, kept=_CAPABILITIES)
            install(program)
            with open(pipe, "rb", _BUFFER) as stream:
                extract(stream, own=ids.kind != "single")
            status = 0
    except (OSError, tarfile.TarError, ValueError, OverflowError) as error:
        with contextlib.suppress(OSError):
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            text = (_NO_SPACE if full else "") + str(error)
            os.write(report, text.encode(errors="replace")[:1000])
    finally:
        os._exit(status)


def extract(stream: IO[bytes], *, own: bool) -> None:
    """Unpack an archive into the root directory, which nothing else uses yet.

    Args:
        stream: the archive.
        own: whether owners can be set; else everything is ours.

    Raises:
        OSError, tarfile.TarError, ValueError: it cannot be unpacked.
    """
    os.umask(0)
    directories: list[tuple[str, tarfile.TarInfo]] = []
    with tarfile.open(
        fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape", bufsize=_BUFFER
    ) as archive:
        for member in archive:
            path = "/" + os.path.normpath("/" + member.name).strip("/")
            make(archive, member, path)
            dress(member, path, own=own)
            if member.isdir():
                directories.append((path, member))
    for path, member in reversed(directories):  # what was put into them has changed the times
        os.utime(path, ns=times(member))


def make(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    """Make one member, the next of the archive, where there is nothing or, of a directory, one.

    Raises:
        OSError, ValueError: it cannot be.
    """
    if member.isdir():
        if not os.path.isdir(path) or os.path.islink(path):
            os.mkdir(path, 0o700)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        target = "/" + os.path.normpath("/" + member.linkname).strip("/")
        os.link(target, path, follow_symlinks=False)
    elif member.isfifo():
        os.mkfifo(path, 0o600)
    elif member.ischr():
        if (member.devmajor, member.devminor) != (0, 0):
            raise ValueError(f"{path} is a device")
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))  # overlay's mark for what was deleted
    elif member.isfile():
        content = archive.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb", 0) as file:
            if _SPARSE in member.pax_headers:
                size, segments = _sparse(member)
                os.ftruncate(file.fileno(), size)
            else:
                segments = [(0, member.size)]
            for offset, length in segments:
                _copy(content, file.fileno(), offset, length)
    else:
        raise ValueError(f"{path} is of an unknown type")


def _sparse(member: tarfile.TarInfo) -> tuple[int, list[tuple[int, int]]]:
    """The size of a file with holes, and where its content goes: offsets and lengths.

    Raises:
        ValueError: the headers make no sense.
    """
    size, end, total = _number(member.pax_headers.get(_SIZE, "")), 0, 0
    segments: list[tuple[int, int]] = []
    for pair in filter(None, member.pax_headers[_SPARSE].split(";")):
        first, _, second = pair.partition(",")
        offset, length = _number(first), _number(second)
        if offset < end or offset + length > size:
            raise ValueError("the segments of a file overlap, or are beyond its end")
        segments.append((offset, length))
        end, total = offset + length, total + length
    if total != member.size:
        raise ValueError("the segments of a file are not what its content is")
    return size, segments


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or (number := int(text)) >= 1 << 63:
        raise ValueError(f"{text[:30]!r} is no size")
    return number


def _copy(content: IO[bytes] | None, fd: int, offset: int, length: int) -> None:
    """Write the next bytes of a member at an offset of a file."""
    while length:
        chunk = memoryview(content.read(min(_BUFFER, length)) if content is not None else b"")
        if not chunk:
            raise ValueError("the archive ends within a file")
        length -= len(chunk)
        while chunk:
            written = os.pwrite(fd, chunk, offset)
            chunk, offset = chunk[written:], offset + written


def dress(member: tarfile.TarInfo, path: str, *, own: bool) -> None:
    """Owner, mode, times and extended attributes."""
    if member.islnk():
        return
    if own:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        os.chmod(path, stat.S_IMODE(member.mode))
    for name, value in member.pax_headers.items():
        if name.startswith(_XATTR + "user."):
            content = value.encode("utf-8", "surrogateescape")
            os.setxattr(path, name[len(_XATTR) :], content, follow_symlinks=False)
    if not member.isdir():
        os.utime(path, ns=times(member), follow_symlinks=False)


def times(member: tarfile.TarInfo) -> tuple[int, int]:
    """When it was changed, in nanoseconds, for both of a file's times."""
    exact = _TIME.fullmatch(member.pax_headers.get("mtime", ""))
    if exact is None:
        nanoseconds = int(member.mtime * 1e9)
    else:
        sign, seconds, fraction = exact.groups(default="")
        nanoseconds = int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))
        nanoseconds = -nanoseconds if sign else nanoseconds
    return nanoseconds, nanoseconds


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
