"""The one algorithm for both directions: a batch of a tree at a time, only what is missing.

Each batch of the source's entries is held against what the target has. Directories and links are
made, the files that differ are sent in one stream, large ones from where the target has them; at
last directories get their modes and times, when all in them is done.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from ..guest.agent.treeentry import LEAST_PART
from ..provider import DigestWanted, FileWanted, TreeBegin, TreeEnd, TreeEntry, TreePart
from .excludes import Excludes
from .meter import Meter
from .records import Verify
from .sides import Side

__all__ = ["copy_file", "copy_tree", "is_missing"]

PERMISSIONS = 0o777
"""What is kept of a mode: nobody is made another by a bit that was copied."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP})
"""Errors that say that a file is not what it was when it was listed."""


async def copy_tree(
    source: Side, target: Side, excludes: Excludes, verify: Verify, meter: Meter
) -> None:
    """Make `target` hold all that `source` holds. What else is there stays.

    Raises:
        OSError: something cannot be read or written; all that came before is there.
    """
    if meter.wanted:
        await _survey(source, excludes, meter)
    (there,) = await target.stat([""])
    if there is not None and there.type not in ("directory", "symlink"):
        raise target.error(errno.ENOTDIR, "", os.strerror(errno.ENOTDIR))
    copying = _Copying(source, target, verify, meter)
    walking = source.walk(excludes)
    async with aclosing(walking) as batches:  # type: ignore[type-var]
        async for batch in batches:
            # A directory that was there keeps its own mode and time.
            await copying.batch([one for one in batch if one.name or there is None])
    await meter.tell(last=True)


async def copy_file(
    source: Side, name: str, target: Side, new_name: str, verify: Verify, meter: Meter
) -> None:
    """Copy one file, under another name.

    Raises:
        OSError: it cannot be read or written.
    """
    (entry,) = await source.stat([name])
    if entry is None or is_missing(entry):
        raise source.error(errno.ENOENT, name, os.strerror(errno.ENOENT))
    if entry.errno:
        raise source.error(entry.errno, name, os.strerror(entry.errno))
    if entry.type != "file":
        raise source.error(errno.EINVAL, name, "not a regular file")
    meter.expect(entry)
    await _Copying(source, target, verify, meter, lambda _: new_name).batch([entry])
    await meter.tell(last=True)


def is_missing(entry: TreeEntry) -> bool:
    """Whether there is nothing but a part of a file that has not come whole."""
    return entry.type == "other" and entry.partial > 0


async def _survey(source: Side, excludes: Excludes, meter: Meter) -> None:
    """Count what there is, so that progress has a total."""
    walking = source.walk(excludes)
    async with aclosing(walking) as batches:  # type: ignore[type-var]
        async for batch in batches:
            for entry in batch:
                meter.expect(entry)


@dataclass(slots=True)
class _Work:
    """What is to be done for a batch, in this order."""

    before: list[TreeEntry] = field(default_factory=list)
    files: list[FileWanted] = field(default_factory=list)
    after: list[TreeEntry] = field(default_factory=list)


class _Copying:
    """A transfer from one side to the other."""

    def __init__(
        self,
        source: Side,
        target: Side,
        verify: Verify,
        meter: Meter,
        rename: Callable[[str], str] = str,
    ) -> None:
        self._source = source
        self._target = target
        self._verify = verify
        self._meter = meter
        self._rename = rename
        self._current: TreeEntry | None = None
        self._size = 0

    async def batch(self, entries: Sequence[TreeEntry]) -> None:
        """Copy these."""
        wanted = [self._kept(entry) for entry in entries if self._can_be_copied(entry)]
        if not wanted:
            return
        coming = [entry for entry in wanted if not entry.leaving]
        there = await self._target.stat([self._rename(entry.name) for entry in coming])
        work = await self._work(coming, there)
        work.after += [entry for entry in wanted if entry.leaving]
        if not (work.before or work.files or work.after):
            await self._meter.tell()
            return
        mode = next((entry.mode for entry in coming if not entry.name), None)
        async with aclosing(self._parts(work)) as parts:  # type: ignore[type-var]
            not_stored = await self._target.write(parts, mode)
        for name, reason in not_stored:
            self._meter.skip(name, reason)
        missing = {name for name, _ in not_stored}
        for entry in coming:
            if entry.type != "file" and entry.name not in missing:
                self._meter.stored(entry)
        await self._meter.tell()

    def _can_be_copied(self, entry: TreeEntry) -> bool:
        if entry.errno:
            raise self._source.error(entry.errno, entry.name, os.strerror(entry.errno))
        if entry.type == "other":
            self._meter.skip(entry.name, "neither a file nor a directory nor a link")
            return False
        return True

    def _kept(self, entry: TreeEntry) -> TreeEntry:
        return entry._replace(mode=entry.mode & PERMISSIONS, partial=0)

    # -- what is to be done -------------------------------------------------------------------

    async def _work(self, coming: Sequence[TreeEntry], there: Sequence[TreeEntry | None]) -> _Work:
        work = _Work()
        questions: list[tuple[TreeEntry, TreeEntry, DigestWanted]] = []
        for entry, seen in zip(coming, there, strict=True):
            # What may not be looked at yet is in a directory that will be opened.
            found = None if seen is not None and seen.errno else seen
            self._check_not_in_the_way(entry, found)
            if entry.type == "directory":
                if found is None or found.type != "directory" or found.mode & 0o700 != 0o700:
                    work.before.append(entry)
            elif entry.type == "symlink":
                if found is None or found.target != entry.target:
                    work.before.append(entry)
            elif found is None:
                work.files.append(FileWanted(entry.name))
            elif self._same(entry, found) and self._verify == "time":
                self._is_there(entry, found, work)
            elif question := self._question(entry, found):
                questions.append((entry, found, question))
            else:
                work.files.append(FileWanted(entry.name))
        if questions:
            await self._ask(questions, work)
        return work

    def _check_not_in_the_way(self, entry: TreeEntry, found: TreeEntry | None) -> None:
        if found is not None and found.type == "directory" and entry.type != "directory":
            raise self._target.error(
                errno.EISDIR, self._rename(entry.name), os.strerror(errno.EISDIR)
            )

    def _same(self, entry: TreeEntry, found: TreeEntry) -> bool:
        is_file = found.type == "file" and found.size == entry.size
        return is_file and self._same_time(entry, found)

    def _same_time(self, entry: TreeEntry, found: TreeEntry) -> bool:
        """Whether the times are the same, as well as the target keeps them."""
        unit = self._target.time_unit
        return unit is not None and entry.mtime_ns // unit == found.mtime_ns // unit

    def _is_there(self, entry: TreeEntry, found: TreeEntry, work: _Work) -> None:
        self._meter.there(entry.size)
        self._meter.stored(entry)
        if entry.mode != found.mode or not self._same_time(entry, found):
            renamed = entry._replace(name=self._rename(entry.name), leaving=True)
            work.after.append(renamed)

    def _question(self, entry: TreeEntry, found: TreeEntry) -> DigestWanted | None:
        """The checksum that says whether the file, or its beginning, is there already."""
        if self._verify == "checksum" and found.type == "file" and found.size == entry.size:
            return DigestWanted(entry.name)
        if LEAST_PART <= found.partial <= entry.size:
            return DigestWanted(entry.name, found.partial, partial=True)
        return None

    async def _ask(
        self, questions: Sequence[tuple[TreeEntry, TreeEntry, DigestWanted]], work: _Work
    ) -> None:
        asked = [question for _, _, question in questions]
        ours, theirs = await asyncio.gather(
            self._source.digest([one._replace(partial=False) for one in asked]),
            self._target.digest([one._replace(name=self._rename(one.name)) for one in asked]),
        )
        for (entry, found, question), here, over_there in zip(questions, ours, theirs, strict=True):
            same = here is not None and here == over_there
            if same and not question.partial:
                self._is_there(entry, found, work)
            else:
                offset = question.length if same and question.length is not None else 0
                work.files.append(FileWanted(entry.name, offset, entry.mtime_ns))

    # -- doing it -----------------------------------------------------------------------------

    async def _parts(self, work: _Work) -> AsyncIterator[Sequence[TreePart]]:
        if work.before:
            yield [TreeBegin(entry) for entry in work.before]
        if work.files:
            async with aclosing(self._source.read(work.files)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    passed = [part for part in map(self._passed, batch) if part is not None]
                    if passed:
                        yield passed
                    await self._meter.tell()
        if work.after:
            yield [TreeBegin(entry) for entry in work.after]

    def _passed(self, part: TreePart) -> TreePart | None:
        """A part as the target is to have it, counted."""
        if isinstance(part, bytes):
            self._size += len(part)
            self._meter.sent(len(part))
            return part
        if isinstance(part, TreeEnd):
            return self._ended(part)
        entry = self._kept(part.entry)
        self._current, self._size = entry, part.offset
        self._meter.begun(entry.name)
        self._meter.there(part.offset)
        return TreeBegin(entry._replace(name=self._rename(entry.name)), part.offset)

    def _ended(self, end: TreeEnd) -> TreePart | None:
        entry, self._current = self._current, None
        if end.errno and (entry is not None or end.errno not in GONE):
            raise self._source.error(end.errno, end.name, os.strerror(end.errno))
        if entry is None:
            self._meter.skip(end.name, "it went away, or became something else, meanwhile")
            return None
        self._meter.stored(entry._replace(size=self._size))
        return TreeEnd(self._rename(end.name))
