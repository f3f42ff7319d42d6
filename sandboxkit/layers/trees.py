"""Trees of directories, made of the operations on single files, for providers without ``trees``.

Nothing can be gone on with here: a file comes whole or not at all. Links, and times (in whole
seconds), are set by commands where there are any.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ..errors import FileError, PathExistsError, PathNotDirectoryError, PathNotFoundError
from ..execution import run_command
from ..models import FileInfo
from ..provider import (
    DigestManyRequest,
    DigestWanted,
    FileWanted,
    ListFilesRequest,
    MkdirRequest,
    NotStored,
    PathRequest,
    Provider,
    ReadFileRequest,
    ReadManyRequest,
    RemoveRequest,
    StartRequest,
    StatManyRequest,
    TreeBegin,
    TreeEnd,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WriteFileRequest,
    WriteManyRequest,
)
from .base import Layer

__all__ = ["EmulatedTrees"]

T = TypeVar("T")
R = TypeVar("R")

DEPTH = 1000
"""Levels of directories that are listed."""

AT_ONCE = 16
"""Operations under way at a time."""

SMALL = 256 << 10
"""Bytes of a file that is held in memory, so that several of them travel at once."""

ARGUMENTS = 64_000
"""Characters of arguments to one command."""

TIMEOUT = 60.0
"""Seconds for one command."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Arguments by threes: what to do, with what, to which path.
_SETTLE = (
    "while [ $# -gt 0 ]; do case $1 in "
    'link) { [ ! -L "$3" ] && [ ! -f "$3" ] || rm -f -- "$3"; } && ln -s -- "$2" "$3";; '
    'mode) chmod "$2" -- "$3";; '
    'time) touch -h -d "@$2" -- "$3";; '
    "esac || exit 1; shift 3; done"
)


class EmulatedTrees(Layer):
    """Many files by many operations, some at a time."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, trees=True)
        self.emulated = self.emulated | {"trees"}

    async def walk_tree(self, request: WalkTreeRequest) -> AsyncIterator[Sequence[TreeEntry]]:
        """What a deep listing says."""
        top = await self.inner.stat(_at(request, ""))
        if not top.is_dir:
            raise PathNotDirectoryError(f"{request.path}: not a directory", path=request.path)
        listed = await self.inner.list_files(
            ListFilesRequest(
                sandbox_id=request.sandbox_id, path=request.path, user=request.user, depth=DEPTH
            )
        )
        entries = [_entry(info, _below(info.path, request.path)) for info in listed]
        entries.sort(key=lambda entry: entry.name.split("/"))
        for batch in _batches(_with_leaving([_entry(top, ""), *entries]), 1000):
            yield batch

    async def stat_many(self, request: StatManyRequest) -> Sequence[TreeEntry | None]:
        """As many `stat`."""

        async def one(name: str) -> TreeEntry | None:
            try:
                return _entry(await self.inner.stat(_at(request, name)), name)
            except (PathNotFoundError, PathNotDirectoryError):
                return None

        return await _several(one, request.names)

    async def digest_many(self, request: DigestManyRequest) -> Sequence[str | None]:
        """By reading them."""

        async def one(wanted: DigestWanted) -> str | None:
            if wanted.partial:
                return None
            digest, size = hashlib.sha256(), 0
            reading = self._read(request, wanted.name, wanted.length)
            try:
                async with aclosing(reading) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        digest.update(piece)
                        size += len(piece)
            except FileError:
                return None
            whole = wanted.length is None or size == wanted.length
            return digest.hexdigest() if whole else None

        return await _several(one, request.files)

    async def read_many(self, request: ReadManyRequest) -> AsyncIterator[Sequence[TreePart]]:
        """As many reads; several small ones at a time."""

        async def look(wanted: FileWanted) -> TreeEntry | int:
            try:
                entry = _entry(await self.inner.stat(_at(request, wanted.name)), wanted.name)
            except FileError as error:
                return _number(error)
            return entry if entry.type == "file" else errno.ESTALE

        async def small(entry: TreeEntry | int) -> bytes | int | None:
            if isinstance(entry, int) or entry.size > SMALL:
                return None
            try:
                reading = self._read(request, entry.name, entry.size)
                return b"".join([piece async for piece in reading])
            except FileError as error:
                return _number(error)

        for some in _batches(request.files, AT_ONCE):
            entries = await _several(look, some)
            contents = await _several(small, entries)
            for wanted, entry, content in zip(some, entries, contents, strict=True):
                if isinstance(entry, int):
                    yield [TreeEnd(wanted.name, entry)]
                elif isinstance(content, int):
                    yield [TreeEnd(wanted.name, content)]
                elif content is not None:
                    yield [TreeBegin(entry), content, TreeEnd(wanted.name)]
                else:
                    yield [TreeBegin(entry)]
                    async for piece in self._read(request, wanted.name, entry.size):
                        yield [piece]
                    yield [TreeEnd(wanted.name)]

    async def write_many(self, request: WriteManyRequest) -> Sequence[NotStored]:
        """As many writes; several small ones at a time."""
        return await _Writing(self.inner, request).all()

    def _read(self, request: PathRequest, name: str, length: int | None) -> AsyncIterator[bytes]:
        path = posixpath.join(request.path, name)
        return self.inner.read_file(
            ReadFileRequest(
                sandbox_id=request.sandbox_id, path=path, user=request.user, length=length
            )
        )


class _Writing:
    """One `write_many`."""

    def __init__(self, provider: Provider, request: WriteManyRequest) -> None:
        self._provider = provider
        self._request = request
        self._parts = _flat(request.parts)
        self._held: list[tuple[TreeEntry, bytes]] = []
        self._settle: list[str] = []
        self._not_stored: list[NotStored] = []

    async def all(self) -> list[NotStored]:
        """Store everything."""
        mode = 0o755 if self._request.mode is None else self._request.mode | 0o700
        path = self._request.path
        try:
            found = await self._provider.stat(_at(self._request, ""))
        except PathNotFoundError:
            await self._mkdir(path, mode, parents=True)
        else:
            if found.type not in ("directory", "symlink"):
                raise PathNotDirectoryError(f"{path}: not a directory", path=path)
        async for part in self._parts:
            if isinstance(part, TreeBegin):
                await self._begun(part.entry)
        await self._flush()
        await self._command()
        return self._not_stored

    async def _begun(self, entry: TreeEntry) -> None:
        if entry.leaving:
            await self._flush()
            self._note("mode", f"{entry.mode:o}", entry)
            self._note("time", str(entry.mtime_ns // 10**9), entry)
        elif entry.type == "directory":
            await self._directory(entry)
        elif entry.type == "symlink":
            self._link(entry)
        elif entry.size <= SMALL:
            await self._hold(entry)
        else:
            await self._stream(entry)
        if len(self._settle) > ARGUMENTS // 100 or sum(map(len, self._settle)) > ARGUMENTS:
            await self._flush()
            await self._command()

    def _note(self, do: str, how: str, entry: TreeEntry) -> None:
        if self._provider.capabilities.commands:
            self._settle += (do, how, self._path(entry))

    def _link(self, entry: TreeEntry) -> None:
        if not self._provider.capabilities.commands:
            self._not_stored.append(NotStored(entry.name, "links cannot be made here"))
            return
        self._note("link", entry.target or "", entry)
        self._note("time", str(entry.mtime_ns // 10**9), entry)

    async def _directory(self, entry: TreeEntry) -> None:
        if not entry.name:
            return
        path, mode = self._path(entry), entry.mode | 0o700
        try:
            await self._mkdir(path, mode, parents=False)
        except PathExistsError:
            if not (await self._provider.stat(_at(self._request, entry.name))).is_dir:
                await self._remove(path)
                await self._mkdir(path, mode, parents=False)

    async def _hold(self, entry: TreeEntry) -> None:
        content = bytearray()
        async for part in self._parts:
            if isinstance(part, bytes):
                content += part
            else:
                if isinstance(part, TreeEnd) and not part.errno:
                    self._held.append((entry, bytes(content)))
                break
        if len(self._held) >= AT_ONCE:
            await self._flush()

    async def _flush(self) -> None:
        held, self._held = self._held, []

        async def one(file: tuple[TreeEntry, bytes]) -> None:
            entry, content = file
            await self._write(entry, _once(content))

        await _several(one, held)

    async def _stream(self, entry: TreeEntry) -> None:
        async def content() -> AsyncIterator[bytes]:
            async for part in self._parts:
                if isinstance(part, bytes):
                    yield part
                elif isinstance(part, TreeEnd) and not part.errno:
                    return
                else:
                    raise _UnreadableError

        with contextlib.suppress(_UnreadableError):
            await self._write(entry, content())

    async def _write(self, entry: TreeEntry, data: AsyncIterator[bytes]) -> None:
        path = self._path(entry)
        with contextlib.suppress(PathNotFoundError):
            # A link there would be followed.
            if (await self._provider.stat(_at(self._request, entry.name))).type == "symlink":
                await self._remove(path)
        await self._provider.write_file(
            WriteFileRequest(
                sandbox_id=self._request.sandbox_id,
                path=path,
                user=self._request.user,
                data=data,
                mode=entry.mode,
            )
        )
        self._note("time", str(entry.mtime_ns // 10**9), entry)

    async def _mkdir(self, path: str, mode: int, *, parents: bool) -> None:
        request = self._request
        await self._provider.mkdir(
            MkdirRequest(
                sandbox_id=request.sandbox_id,
                path=path,
                user=request.user,
                mode=mode,
                parents=parents,
            )
        )

    async def _remove(self, path: str) -> None:
        request = self._request
        await self._provider.remove(
            RemoveRequest(sandbox_id=request.sandbox_id, path=path, user=request.user)
        )

    async def _command(self) -> None:
        arguments, self._settle = self._settle, []
        if not arguments:
            return
        result = await run_command(
            self._provider.start,
            StartRequest(
                sandbox_id=self._request.sandbox_id,
                command=("sh", "-c", _SETTLE, "sh", *arguments),
                env={"LC_ALL": "C"},
                user=self._request.user,
                timeout=TIMEOUT,
            ),
        )
        if not result.ok:
            path = self._request.path
            raise FileError(f"{path}: {result.stderr.strip()}", path=path)

    def _path(self, entry: TreeEntry) -> str:
        return posixpath.join(self._request.path, entry.name)


class _UnreadableError(Exception):
    """The source of a file ended badly; nothing of it is to be stored."""


def _at(request: PathRequest, name: str) -> PathRequest:
    path = posixpath.join(request.path, name) if name else request.path
    return PathRequest(sandbox_id=request.sandbox_id, path=path, user=request.user)


def _number(error: FileError) -> int:
    return errno.EIO if error.errno is None else error.errno


def _below(path: str, top: str) -> str:
    return path.removeprefix(top.rstrip("/") + "/")


def _entry(info: FileInfo, name: str) -> TreeEntry:
    size = info.size if info.type == "file" else 0
    mtime_ns = (info.modified_at - _EPOCH) // timedelta(microseconds=1) * 1000
    return TreeEntry(name, info.type, size, info.mode, mtime_ns, info.target)


def _with_leaving(entries: Iterable[TreeEntry]) -> Iterable[TreeEntry]:
    """The same, with each directory once more after what is in it."""
    within: list[TreeEntry] = []
    for entry in entries:
        while within and within[-1].name and not entry.name.startswith(within[-1].name + "/"):
            yield within.pop()._replace(leaving=True)
        if entry.type == "directory":
            within.append(entry)
        yield entry
    while within:
        yield within.pop()._replace(leaving=True)


def _batches(items: Iterable[T], size: int) -> Iterable[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def _several(function: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """The results for all items, in order, some under way at a time; the first error is raised."""
    found: list[R] = []
    for some in _batches(items, AT_ONCE):
        tasks = [asyncio.ensure_future(function(item)) for item in some]
        try:
            found += await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return found


async def _flat(batches: AsyncIterator[Sequence[TreePart]]) -> AsyncIterator[TreePart]:
    async for batch in batches:
        for part in batch:
            yield part


async def _once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
