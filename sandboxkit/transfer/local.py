"""The side of a transfer that is on this machine; its work is done off the event loop.

By one thread for each operation, so that nothing is closed while it is used, also when whoever
waits was cancelled.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from itertools import islice
from typing import Protocol, cast

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
from ..threads import Worker, in_thread
from .excludes import Excludes

__all__ = ["LocalSide"]

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
        with Worker() as worker:
            walk = await worker.open(TreeWalk, self._top, excludes.leaves_out)
            try:
                while batch := await worker.do(_some_entries, walk):
                    yield batch
            finally:
                await worker.do(walk.close)

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
        with Worker() as worker:
            place = await worker.open(Beneath, self._top)
            digests = Digests(place, files)

            def slices() -> bool:
                return all(digests.step() for _ in range(SLICES))

            try:
                while await worker.do(slices):
                    continue
            finally:
                await worker.do(_close_all, digests, place)
        return digests.found

    async def read(self, files: Sequence[FileWanted]) -> AsyncIterator[Sequence[TreePart]]:
        """The parts of files."""
        with Worker() as worker:
            place = await worker.open(Beneath, self._top)
            parts = _all_parts(place, files)
            try:
                while batch := await worker.do(_some_parts, parts):
                    yield batch
            finally:
                await worker.do(_close_all, parts, place)

    async def write(
        self, parts: AsyncIterator[Sequence[TreePart]], mode: int | None
    ) -> Sequence[NotStored]:
        """Store parts."""
        with Worker() as worker:
            store = await worker.open(self._open, mode)
            try:
                async for batch in parts:
                    await worker.do(self._store, store, batch)
            finally:
                await worker.do(store.close)
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


def _ours(entry: Entry) -> TreeEntry:
    return TreeEntry(entry.name, cast(FileType, entry.type), *entry[2:])


class _Closable(Protocol):
    def close(self) -> object: ...


def _close_all(*things: _Closable) -> None:
    for thing in things:
        thing.close()


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
