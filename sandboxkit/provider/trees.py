"""Trees of directories: the requests, and the parts that many files travel in.

Names are relative to a tree's top, with slashes; the empty name is the top itself. No operation
follows a symbolic link below the top.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..models import FileType
from .files import PathRequest

__all__ = [
    "DigestManyRequest",
    "DigestWanted",
    "FileWanted",
    "NotStored",
    "ReadManyRequest",
    "StatManyRequest",
    "TreeBegin",
    "TreeEnd",
    "TreeEntry",
    "TreePart",
    "WalkTreeRequest",
    "WriteManyRequest",
]


class TreeEntry(NamedTuple):
    """One thing in a tree.

    Attributes:
        name: below the top.
        type: of the thing itself; a link is not followed.
        size: bytes, of a file.
        mode: permission bits.
        mtime_ns: when its content last changed, nanoseconds since 1970; of whole seconds where the
            provider knows no better.
        target: where a symlink points.
        leaving: only mode and time are meant: of a directory in which all is done, or of a file
            whose content is right already.
        partial: bytes that are there of a file that has not come whole.
        errno: why a directory could not be read, else 0.
    """

    name: str
    type: FileType
    size: int = 0
    mode: int = 0
    mtime_ns: int = 0
    target: str | None = None
    leaving: bool = False
    partial: int = 0
    errno: int = 0


class TreeBegin(NamedTuple):
    """A file begins; or a directory, a link, or what is ``leaving``, which have no content.

    Attributes:
        entry: what it is.
        offset: of the first byte that follows.
    """

    entry: TreeEntry
    offset: int = 0


class TreeEnd(NamedTuple):
    """A file ends.

    Attributes:
        name: which.
        errno: why it could not be read, else 0. Nothing was begun then, or not all of it came.
    """

    name: str
    errno: int = 0


TreePart = TreeBegin | bytes | TreeEnd
"""What comes of many files, in order: of each its begin, its content in pieces, its end."""


class FileWanted(NamedTuple):
    """A file to read from byte `offset`, if its content is still of `mtime_ns`; else all of it."""

    name: str
    offset: int = 0
    mtime_ns: int = 0


class DigestWanted(NamedTuple):
    """A file whose first `length` bytes (``None``: all) to hash.

    Attributes:
        partial: what there is of a file that has not come whole is meant.
    """

    name: str
    length: int | None = None
    partial: bool = False


class NotStored(NamedTuple):
    """A thing that could not be stored here, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkTreeRequest(PathRequest):
    """Tell of all in a directory: each directory before what is in it and, ``leaving``, after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatManyRequest(PathRequest):
    """Tell what is there under each of `names`; the top need not be there."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestManyRequest(PathRequest):
    """Hash many files, or how they begin."""

    files: Sequence[DigestWanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadManyRequest(PathRequest):
    """Read many files, in order."""

    files: Sequence[FileWanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteManyRequest(PathRequest):
    """Make directories, links and files, in order; each file appears whole or not at all.

    Attributes:
        parts: batches of parts. A file that ends with an error is not stored.
        mode: permission bits of the top, if it has to be made.
    """

    parts: AsyncIterator[Sequence[TreePart]]
    mode: int | None = None
