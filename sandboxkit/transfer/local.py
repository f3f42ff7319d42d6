"""The side of a transfer that is on this machine; its work is done off the event loop."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from ..guest.agent.beneath import Beneath
from ..guest.agent.treeentry import Entry
from ..guest.agent.treeread import Begun, Digests, Ended, Part, Wanted, read_file
from ..guest.agent.treestore import TreeStore, make_top
from ..guest.agent.treewalk import TreeWalk
from ..models import FileType
from ..provider import (
    DigestWanted,
    FileWanted,
    NotStored,
    TreeBegin,
    TreeEnd,
    TreeEntry,
    TreePart,
)
from ..threads import in_thread
from .excludes import Excludes

__all__ = ["LocalSide"]

T = TypeVar("T")

ENTRIES = 1000
"""Entries at a time."""

NAMES = 100_000
"""Characters of names at a time, for they travel in one request."""

GATHERED = 1 << 20
"""Bytes of content at a time."""

SLICES = 64
"""Slices hashed at a time: MiB."""


class LocalSide:
    """A tree on this machine. The code that reads and writes it is the guest's.

    Args:
        top: its directory; to be written it need not be there.
    """

    time_unit = 1

    def __init__(self, top: str) -> None:
        self._name = top
        self._top = os.fsencode(top)
        self._at = ""

    async def walk(self, excludes: Excludes) -> AsyncIterator[Sequence[TreeEntry]]:
        """All in it."""
        hand = _Hand()
        walk = await hand.do(TreeWalk, self._top, excludes.leaves_out)
        try:
            while batch := await hand.do(_some_entries, walk):
                yield batch
        finally:
            await hand.do(walk.close)

    async def stat(self, names: Sequence[str]) -> Sequence[TreeEntry | None]:
        """What is there."""
        return await in_thread(self._look, names)

    def _look(self, names: Sequence[str]) -> list[TreeEntry | None]:
        try:
            store = TreeStore(self._top)
        except (FileNotFoundError, NotADirectoryError):
            return [None] * len(names)
        try:
            found = [store.look(name) for name in names]
        finally:
            store.close()
        return [None if entry is None else _ours(entry) for entry in found]

    async def digest(self, files: Sequence[DigestWanted]) -> Sequence[str | None]:
        """Checksums."""
        hand = _Hand()
        place = await hand.do(Beneath, self._top)
        digests = Digests(place, files)

        def slices() -> bool:
            return all(digests.step() for _ in range(SLICES))

        try:
            while await hand.do(slices):
                continue
        finally:
            await hand.do(digests.close)
            await hand.do(place.close)
        return digests.found

    async def read(self, files: Sequence[FileWanted]) -> AsyncIterator[Sequence[TreePart]]:
        """The parts of files."""
        hand = _Hand()
        place = await hand.do(Beneath, self._top)
        parts = _all_parts(place, files)
        try:
            while batch := await hand.do(_some_parts, parts):
                yield batch
        finally:
            await hand.do(parts.close)
            await hand.do(place.close)

    async def write(
        self, parts: AsyncIterator[Sequence[TreePart]], mode: int | None
    ) -> Sequence[NotStored]:
        """Store parts."""
        hand = _Hand()
        store = await hand.do(self._open, mode)
        try:
            async for batch in parts:
                await hand.do(self._store, store, batch)
        finally:
            await hand.do(store.close)
        return ()

    def _open(self, mode: int | None) -> TreeStore:
        make_top(self._top, mode)
        return TreeStore(self._top)

    def _store(self, store: TreeStore, parts: Sequence[TreePart]) -> None:
        for part in parts:
            if isinstance(part, TreeBegin):
                self._at = part.entry.name
            try:
                _store(store, part)
            except OSError as error:
                number = error.errno or errno.EIO
                raise self.error(number, self._at, os.strerror(number)) from error

    def error(self, number: int, name: str, message: str) -> OSError:
        """The built-in that fits."""
        return OSError(number, message, os.path.join(self._name, name))


class _Hand:
    """Does one thing at a time in threads, so that nothing is closed while it is used.

    Whoever waits may be cancelled; what has begun goes on, and what follows waits for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def do(self, function: Callable[..., T], *args: Any) -> T:
        return await in_thread(self._locked, function, *args)

    def _locked(self, function: Callable[..., T], *args: Any) -> T:
        with self._lock:
            return function(*args)


def _ours(entry: Entry) -> TreeEntry:
    return TreeEntry(entry.name, cast(FileType, entry.type), *entry[2:])


def _some_entries(walk: TreeWalk) -> list[TreeEntry]:
    found, size = [], 0
    for entry in islice(walk, ENTRIES):
        found.append(_ours(entry))
        size += len(entry.name)
        if size > NAMES:
            break
    return found


def _all_parts(place: Beneath, files: Sequence[FileWanted]) -> Generator[Part, None, None]:
    for wanted in files:
        yield from read_file(place, Wanted(*wanted))


def _some_parts(parts: Iterator[Part]) -> list[TreePart]:
    found: list[TreePart] = []
    size = 0
    for part in parts:
        if isinstance(part, Begun):
            found.append(TreeBegin(_ours(part.entry), part.offset))
        elif isinstance(part, Ended):
            found.append(TreeEnd(*part))
        else:
            found.append(part)
            size += len(part)
        if size >= GATHERED or len(found) >= ENTRIES:
            break
    return found


def _store(store: TreeStore, part: TreePart) -> None:
    if isinstance(part, bytes):
        store.data(part)
    elif isinstance(part, TreeEnd):
        if part.errno:
            store.abort()
        else:
            store.end()
    elif part.entry.type == "file" and not part.entry.leaving:
        store.begin(Entry(*part.entry), part.offset)
    else:
        store.put(Entry(*part.entry))
