"""The kernel's inotify, which Python has no functions for; see inotify(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any, List, NamedTuple, Optional

MODIFY = 0x2
ATTRIB = 0x4
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
OVERFLOW = 0x4000
IGNORED = 0x8000
IS_DIRECTORY = 0x4000_0000

_ONLY_DIRECTORIES = 0x0100_0000
# Else a file that was unlinked while open would be told of by the name it no longer has.
_EXCEPT_UNLINKED = 0x0400_0000
_MASK = (MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF) | (
    _ONLY_DIRECTORIES | _EXCEPT_UNLINKED
)

_HEADER = struct.Struct("iIII")
_READ_SIZE = 65_536

_libc: Optional[Any] = None


class Event(NamedTuple):
    """Something the kernel tells of a watched directory.

    Attributes:
        wd: which, as `Inotify.add` numbered it; -1 with `OVERFLOW`.
        mask: what, of this module's constants.
        cookie: the same in the two events of one rename.
        name: of what in the directory; empty if it happened to itself.
    """

    wd: int
    mask: int
    cookie: int
    name: bytes


class Inotify:
    """One queue of events of any number of directories.

    Raises:
        OSError: EMFILE, when this user has as many queues as the kernel allows.

    Attributes:
        fd: readable when there are events.
    """

    def __init__(self) -> None:
        self.fd = _call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)

    def add(self, fd: int) -> int:
        """Watch an open directory; the same number again if it is watched already.

        Raises:
            OSError: ENOSPC, when this user watches as much as the kernel allows.
        """
        # By descriptor, so that what is watched is what the caller has looked at.
        return _call("inotify_add_watch", self.fd, b"/proc/self/fd/%d" % fd, ctypes.c_uint32(_MASK))

    def remove(self, wd: int) -> None:
        """Stop watching a directory. It may be gone already."""
        try:
            _call("inotify_rm_watch", self.fd, wd)
        except OSError:
            return

    def read(self) -> List[Event]:
        """What has happened since, as much of it as one read takes; nothing if it is all read."""
        try:
            content = os.read(self.fd, _READ_SIZE)
        except BlockingIOError:
            return []
        events = []
        offset = 0
        while offset < len(content):
            wd, mask, cookie, length = _HEADER.unpack_from(content, offset)
            offset += _HEADER.size
            name = content[offset : offset + length].rstrip(b"\0")
            offset += length
            events.append(Event(wd, mask, cookie, name))
        return events

    def close(self) -> None:
        """Stop watching altogether. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _call(name: str, *arguments: object) -> int:
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(_libc, name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
