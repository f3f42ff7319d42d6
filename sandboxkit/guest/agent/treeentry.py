"""What is told of each thing in a directory tree, and which names may be used for it.

Used at both ends: by the agent in the sandbox, and by the core for the tree on this side.
"""

from __future__ import annotations

import os
import stat
import zlib
from typing import Any, List, NamedTuple, Optional

#: What the name of a file that has not come whole begins with.
PART_PREFIX = b".sandboxkit-part-"
#: A partial file of less than this is not kept: it costs as much to ask for it as to send it.
LEAST_PART = 1 << 20

MAX_NAME = 4096
MAX_COMPONENT = 255
_MAX_TARGET = 4095
_TIMES = 1 << 63

_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class Entry(NamedTuple):
    """One thing in a tree.

    Attributes:
        name: below the tree's top, with slashes; empty for the top itself.
        type: ``file``, ``directory``, ``symlink`` or ``other``.
        size: bytes, of a file.
        mode: permission bits.
        mtime_ns: when its content last changed, nanoseconds since 1970.
        target: where a symlink points.
        leaving: only mode and time are meant: of a directory in which all is done, or of a file
            whose content is right already.
        partial: bytes that are there of a file that has not come whole.
        errno: why a directory could not be read, else 0.
    """

    name: str
    type: str
    size: int = 0
    mode: int = 0
    mtime_ns: int = 0
    target: Optional[str] = None
    leaving: bool = False
    partial: int = 0
    errno: int = 0


def encode(name: str) -> bytes:
    """A name as the system takes it, whatever the locale."""
    return name.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    """The reverse of `encode`."""
    return name.decode("utf-8", "surrogateescape")


def parts_of(name: str) -> List[bytes]:
    """The parts of a name; none for the top.

    Raises:
        ValueError: it might lead out of the tree, or no file system would take it.
    """
    if not name:
        return []
    raw = encode(name)
    parts = raw.split(b"/")
    if len(raw) > MAX_NAME or b"\0" in raw:
        raise ValueError(f"{name!r:.100} is no name for a file")
    for part in parts:
        if part in (b"", b".", b"..") or len(part) > MAX_COMPONENT:
            raise ValueError(f"{name!r:.100} is no name for a file below a directory")
    return parts


def part_name(last: bytes) -> bytes:
    """The name beside a file under which it is written until it is whole."""
    whole = PART_PREFIX + last
    if len(whole) <= MAX_COMPONENT:
        return whole
    # Cut where a character ends, for file systems that want text; told apart by a checksum.
    cut = last[: MAX_COMPONENT - len(PART_PREFIX) - 9].decode("utf-8", "ignore").encode("utf-8")
    return PART_PREFIX + b"%08x-" % zlib.crc32(last) + cut


def entry_of(name: str, found: os.stat_result, target: Optional[bytes] = None) -> Entry:
    """The entry for what `lstat` found."""
    kind = _TYPES.get(stat.S_IFMT(found.st_mode), "other")
    return Entry(
        name,
        kind,
        found.st_size if kind == "file" else 0,
        stat.S_IMODE(found.st_mode),
        found.st_mtime_ns,
        None if target is None else decode(target),
    )


def to_wire(entry: Entry) -> List[Any]:
    """An entry as JSON carries it: its fields in order, without the defaults at the end."""
    fields = list(entry)
    while len(fields) > 2 and fields[-1] == _DEFAULTS[len(fields) - 1]:
        fields.pop()
    return fields


def from_wire(value: object) -> Entry:
    """The reverse; nothing of it is trusted.

    Raises:
        ValueError: it is no entry, or its name is none.
    """
    if not isinstance(value, list) or not 2 <= len(value) <= len(_DEFAULTS):
        raise ValueError("an entry must be a list of its fields")
    entry: Any = Entry(*value)
    sound = (
        isinstance(entry.name, str)
        and entry.type in ("file", "directory", "symlink", "other")
        and _whole(entry.size)
        and _whole(entry.mode, 0, 0o7777)
        and _whole(entry.mtime_ns, -_TIMES)
        and type(entry.leaving) is bool
        and _whole(entry.partial)
        and _whole(entry.errno, 0, 4095)
        and _target(entry.type, entry.target)
    )
    if not sound:
        raise ValueError(f"{value!r:.200} is no entry")
    parts_of(entry.name)
    return Entry(*entry)


def _target(kind: str, target: object) -> bool:
    if kind != "symlink":
        return target is None
    if not isinstance(target, str) or not target or "\0" in target:
        return False
    return len(encode(target)) <= _MAX_TARGET


def _whole(value: object, low: int = 0, high: int = _TIMES - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


_DEFAULTS = [None, None, 0, 0, 0, None, False, 0, 0]
