"""Putting a snapshot's files into a new sandbox's layer.

The archive comes from inside a sandbox, so it is hostile. It is unpacked by a process whose root
directory is the empty layer and whose ids are the new sandbox's: no name in it, and no link on the
way, leads anywhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import tarfile
from collections.abc import Callable
from typing import IO, NoReturn

from .idmap import IdMap
from .seal import CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, seal
from .seccomp import install
from .syscalls import CLONE_NEWUSER, die_with_parent, set_dumpable, unshare

__all__ = ["filler"]

_CAPABILITIES = frozenset({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID})
_XATTR = "SCHILY.xattr."
_BUFFER = 1 << 18


def filler(
    pipe: int, ids: IdMap, slot: int, last_capability: int, program: ctypes.Structure
) -> Callable[[int], None]:
    """What fills a directory, given its descriptor, from an archive that comes through `pipe`."""

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
                    _write(f"/proc/{outer}/{name}", ids.inner(slot))
                start.write(b"!")
                outer = ""
            problem = outer + said.read().decode(errors="replace")
        _, status = os.waitpid(pid, 0)
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
            os.write(report, str(error).encode(errors="replace")[:1000])
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
            _make(archive, member, path)
            _dress(member, path, own=own)
            if member.isdir():
                directories.append((path, member))
    for path, member in reversed(directories):  # what was put into them has changed the times
        os.utime(path, (member.mtime, member.mtime))


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    if member.isdir():
        if path != "/":
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
            while content is not None and (chunk := content.read(_BUFFER)):
                file.write(chunk)
    else:
        raise ValueError(f"{path} is of an unknown type")


def _dress(member: tarfile.TarInfo, path: str, *, own: bool) -> None:
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
        os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
