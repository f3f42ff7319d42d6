"""The system calls for mounts that are attached nowhere yet. Each raises `OSError`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Iterator, Tuple

__all__ = [
    "NODEV",
    "NOSUID",
    "RDONLY",
    "enter_mounts_of",
    "move_mount",
    "one_user",
    "open_tree",
    "set_attributes",
]

RDONLY, NOSUID, NODEV = 1, 2, 4
_IDMAP = 0x100000
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_OPEN_TREE_CLONE = 1
_FROM_EMPTY_PATH, _TO_EMPTY_PATH = 0x4, 0x40
_MS_PRIVATE = 1 << 18
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_PR_SET_PDEATHSIG = 1
# Alike on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def open_tree(directory: int) -> int:
    """A copy of a directory's mount and of all mounts below it; gone with its last descriptor."""
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE | _OPEN_TREE_CLONE | os.O_CLOEXEC
    number = ctypes.c_long(_SYS_OPEN_TREE)
    result = _libc.syscall(number, ctypes.c_int(directory), b"", ctypes.c_uint(flags))
    return _check(result, "open_tree")


def set_attributes(tree: int, attributes: int, userns: int = -1, recursive: bool = True) -> None:
    """Change a tree, and whose files it shows if a user namespace's descriptor says so."""
    wanted = _Attributes(set=attributes, propagation=_MS_PRIVATE)
    if userns >= 0:
        wanted.set |= _IDMAP
        wanted.userns = userns
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(tree),
        b"",
        ctypes.c_uint(_AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(result, "mount_setattr")


def move_mount(tree: int, directory: int) -> None:
    """Attach a tree at a directory."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOVE_MOUNT),
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(directory),
        b"",
        ctypes.c_uint(_FROM_EMPTY_PATH | _TO_EMPTY_PATH),
    )
    _check(result, "move_mount")


def enter_mounts_of(pid: int) -> None:
    """See the file system as another process does. There must be one thread alone."""
    namespace = os.open("/proc/%d/ns/mnt" % pid, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(namespace, _CLONE_NEWNS), "setns")
    finally:
        os.close(namespace)


@contextlib.contextmanager
def one_user(user: Tuple[int, int], group: Tuple[int, int]) -> Iterator[int]:
    """A user namespace with one user and one group, each inside and outside; its descriptor."""
    made, making = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _check(_libc.unshare(_CLONE_NEWUSER), "unshare")
            os.write(making, b"1")
            os.close(making)
            while True:
                signal.pause()  # until we are killed
        finally:
            os._exit(1)
    os.close(making)
    try:
        if not os.read(made, 1):
            raise OSError(1, "a user namespace could not be made")
        for name, (inside, outside) in (("uid_map", user), ("gid_map", group)):
            with open("/proc/%d/%s" % (pid, name), "w") as file:
                file.write("%d %d 1" % (inside, outside))
        namespace = os.open("/proc/%d/ns/user" % pid, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield namespace
        finally:
            os.close(namespace)
    finally:
        os.close(made)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
