"""A root that is not made of this host's files: the lowest layer of its sandboxes.

A directory is shown as it is. An archive is unpacked once for a zygote, into memory, where it is
gone with the zygote whatever happens, and where its owners can be shown to each sandbox as ids of
its own: of a file system on disk only the host's root can do that.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import stat
import sys
import sysconfig
import tarfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from . import seccomp, unpack
from .idmap import IdMap, SandboxIds
from .seal import CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, seal
from .syscalls import (
    CLONE_NEWUSER,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOSUID,
    die_with_parent,
    mount,
    move_mount,
    open_tree,
    set_dumpable,
    set_mount_attributes,
    set_tree_attributes,
    unshare,
)
from .template_root import INTERNAL

__all__ = [
    "AGENT",
    "PLACE",
    "RefusedError",
    "Root",
    "attach",
    "guest_parts",
    "open_root",
    "shown_as",
]

PLACE = INTERNAL + "/foreign"
"""Where it is for the zygote and, until they have pivoted, for sandboxes."""

_GUEST = "/dev/.sandboxkit"
AGENT = _GUEST + "/agent"
"""Where the agent's files are inside, and beside them the library of the interpreter it runs in."""
_LIBRARY = _GUEST + "/library"
_EXTENSIONS = _GUEST + "/extensions"

_CAPABILITIES = frozenset({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID})
_ATTRIBUTES = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_LEFT_OUT = ("dev/", "proc/", "sys/")
# Extension modules that hang on what no agent needs.
_UNNEEDED = ("_test", "_xx", "xx", "_tkinter", "_curses", "_dbm", "_gdbm", "readline", "nis")
_SPACE = "it needs more than half of this machine's memory; unpack it, and name the directory"


class RefusedError(Exception):
    """The root cannot be used; the message says why.

    Attributes:
        hint: what to do.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def guest_parts(agent: str) -> dict[str, str]:
    """What of the host's goes along: where it will be, and where it is.

    Loads all extension modules, as the libraries that they need will be out of sight.
    """
    library = sysconfig.get_path("stdlib")
    extensions = str(sysconfig.get_config_var("DESTSHARED") or "")
    parts = {AGENT: agent, _LIBRARY: library}
    if os.path.isdir(extensions):
        parts[_EXTENSIONS] = extensions
        for file in sorted(os.listdir(extensions)):
            name = file.partition(".")[0]
            if not name.startswith(_UNNEEDED):
                with contextlib.suppress(ImportError):  # this interpreter was built without it
                    importlib.import_module(name)
    for name in ("bz2", "gzip", "lzma", "zlib"):  # what an archive may be compressed by
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return parts


@dataclass(frozen=True)
class Root:
    """An opened root.

    Attributes:
        path: for messages.
        fd: of the archive, or of a detached mount of the directory.
        archive: which of the two.
    """

    path: str
    fd: int
    archive: bool

    def enter(self, ids: IdMap) -> None:
        """Put it in its place, in the zygote's own mounts; forget the host's library.

        Raises:
            RefusedError: the archive is none, or does not fit.
        """
        _move_library()
        if self.archive:
            mount("tmpfs", PLACE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
            self._unpack(ids)
            os.close(self.fd)
        else:
            attach(self.fd)
        set_mount_attributes(PLACE, _ATTRIBUTES)

    def _unpack(self, ids: IdMap) -> None:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            _unpack_confined(self.fd, theirs, ids)
        os.close(theirs)
        with os.fdopen(ours, "rb") as said:
            problem = said.read().decode(errors="replace")
        _, status = os.waitpid(pid, 0)
        if problem or status:
            why = problem or "the process that unpacked it died"
            raise RefusedError(f"template: rootfs {self.path!r} cannot be unpacked: {why}")


def _move_library() -> None:
    """Read from now on what has not been read yet from where the library is inside."""
    before = sysconfig.get_path("stdlib")
    sys.path[:] = [_LIBRARY, _EXTENSIONS]
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        folders = getattr(module, "__path__", None)
        if isinstance(folders, list):
            folders[:] = [
                _LIBRARY + folder.removeprefix(before)
                if folder.startswith(before + "/")
                else folder
                for folder in folders
            ]


def open_root(settings: Mapping[str, Any] | None) -> Root | None:
    """Open a template's root, with the rights of the user who started us.

    Raises:
        RefusedError: it is not what it was.
        OSError: it cannot be opened.
    """
    if not settings:
        return None
    path, stamp = settings["path"], settings["stamp"]
    flags = os.O_RDONLY if stamp is not None else os.O_PATH | os.O_DIRECTORY
    try:
        fd = os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(f"template: rootfs {path!r}: {error.strerror}") from error
    if stamp is None:
        tree = open_tree(fd)  # what is only open could not be mounted once we have pivoted
        os.close(fd)
        return Root(path, tree, archive=False)
    found = os.fstat(fd)
    if stamp != [found.st_size, found.st_mtime_ns, found.st_ino]:
        raise RefusedError(
            f"template: rootfs {path!r} is another archive than the one this was made from"
        )
    return Root(path, fd, archive=True)


def attach(tree: int) -> None:
    """Put a detached mount of a directory, with a sandbox's own ids, in the root's place."""
    place = os.open(PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    move_mount(tree, place)
    os.close(place)
    os.close(tree)


def shown_as(ids: SandboxIds) -> str:
    """Where the unpacked archive's owners are a sandbox's ids; made when first asked for.

    Raises:
        OSError: this kernel cannot do it (before Linux 6.3).
    """
    place = f"{INTERNAL}/own/{ids.root}"
    if os.path.isdir(place):
        return place
    source = os.open(PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    tree = open_tree(source)
    try:
        with _namespace(ids.inner) as mapping:
            set_tree_attributes(tree, _ATTRIBUTES, id_map=mapping)
        os.mkdir(place, 0o755)
        target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        move_mount(tree, target)
        os.close(target)
    finally:
        os.close(tree)
        os.close(source)
    return place


@contextlib.contextmanager
def _namespace(inner: str) -> Iterator[int]:
    """A descriptor of a user namespace with this map."""
    asking, made = os.pipe()
    held, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent()
            os.close(hold)
            set_dumpable(True)  # else nobody below the host's root could write our map
            unshare(CLONE_NEWUSER)
            os.write(made, b"!")
            os.read(held, 1)  # the end of file
        finally:
            os._exit(0)
    os.close(made)
    os.close(held)
    try:
        if not os.read(asking, 1):
            raise OSError(errno.EPERM, "a user namespace could not be made")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(inner)
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield namespace
        finally:
            os.close(namespace)
    finally:
        os.close(asking)
        os.close(hold)
        os.waitpid(pid, 0)


# -- unpacking ------------------------------------------------------------------------------------


def _unpack_confined(archive: int, report: int, ids: IdMap) -> NoReturn:
    """The archive may be anybody's: nothing in it leads out of the place."""
    status = 1
    try:
        die_with_parent()
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            last = int(file.read())
        program = seccomp.prepare()
        os.chdir(PLACE)
        os.chroot(".")
        seal(last, kept=_CAPABILITIES)
        seccomp.install(program)
        with open(archive, "rb") as stream:
            # What a sandbox's id 0 is here; as the host's root, each has a map of its own.
            first = {"root": 0, "subordinate": 1, "single": None}[ids.kind]
            _extract(stream, first)
        status = 0
    except (OSError, EOFError, tarfile.TarError, ValueError, OverflowError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        with contextlib.suppress(OSError):
            os.write(report, (_SPACE if full else str(error)).encode(errors="replace")[:1000])
    finally:
        if status and sys.exc_info()[0] is not None:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def _extract(stream: IO[bytes], first: int | None) -> None:
    os.umask(0)
    directories: list[tuple[str, tarfile.TarInfo]] = []
    with tarfile.open(
        fileobj=stream, mode="r|*", encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for member in archive:
            name = os.path.normpath("/" + member.name).strip("/")
            if member.isblk() or member.ischr() or name.startswith(_LEFT_OUT):
                continue
            path = "/" + name
            _make_room(path, member)
            unpack.make(archive, member, path)
            if first is not None:
                member.uid, member.gid = first + member.uid, first + member.gid
            unpack.dress(member, path, own=first is not None)
            if member.isdir():
                directories.append((path, member))
    for path, member in reversed(directories):
        os.utime(path, ns=unpack.times(member))


def _make_room(path: str, member: tarfile.TarInfo) -> None:
    """Make what is missing above, and remove what a later member replaces."""
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        os.makedirs(above, 0o755)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode) and not member.isdir():
        os.rmdir(path)
    elif not stat.S_ISDIR(mode):
        os.unlink(path)
