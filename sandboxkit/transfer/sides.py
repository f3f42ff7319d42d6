"""The two sides of a transfer have one interface; here is the one in the sandbox."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ..errors import ProtocolError, file_error
from ..guest.agent.treeentry import parts_of
from ..provider import (
    DigestManyRequest,
    DigestWanted,
    FileWanted,
    NotStored,
    Provider,
    ReadManyRequest,
    StatManyRequest,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WriteManyRequest,
)
from .excludes import Excludes

__all__ = ["RemoteSide", "Side"]

MAX_ENTRIES = 10_000_000
"""Entries after which a tree in a sandbox is taken for one that has no end."""


class Side(Protocol):
    """A tree of directories; see the requests of the same names in `sandboxkit.provider`."""

    @property
    def time_unit(self) -> int | None:
        """How well it keeps the times of what is written: nanoseconds; ``None`` is not at all."""
        ...

    def walk(self, excludes: Excludes) -> AsyncIterator[Sequence[TreeEntry]]:
        """All in it, but for what is left out."""
        ...

    async def stat(self, names: Sequence[str]) -> Sequence[TreeEntry | None]:
        """What is there."""
        ...

    async def digest(self, files: Sequence[DigestWanted]) -> Sequence[str | None]:
        """Checksums."""
        ...

    def read(self, files: Sequence[FileWanted]) -> AsyncIterator[Sequence[TreePart]]:
        """The parts of files."""
        ...

    async def write(
        self, parts: AsyncIterator[Sequence[TreePart]], mode: int | None
    ) -> Sequence[NotStored]:
        """Store parts."""
        ...

    def error(self, number: int, name: str, message: str) -> OSError:
        """The exception for what went wrong with a name."""
        ...


class RemoteSide:
    """A tree in a sandbox. What it says of itself is not trusted.

    Args:
        provider: of the sandbox.
        sandbox_id: of the sandbox.
        path: the tree's top, absolute.
        user: who reads and writes.
    """

    def __init__(self, provider: Provider, sandbox_id: str, path: str, user: str | None) -> None:
        self._provider = provider
        self.time_unit: int | None = 1
        if "trees" in getattr(provider, "emulated", frozenset()):
            self.time_unit = 10**9 if provider.capabilities.commands else None
        self._path = path
        self._common: dict[str, Any] = {"sandbox_id": sandbox_id, "path": path, "user": user}

    async def walk(self, excludes: Excludes) -> AsyncIterator[Sequence[TreeEntry]]:
        """All in it, its names checked."""
        within: list[str] = []
        count = 0
        walking = self._provider.walk_tree(WalkTreeRequest(**self._common))
        async with aclosing(walking) as batches:  # type: ignore[type-var]
            async for batch in batches:
                count += len(batch)
                if count > MAX_ENTRIES:
                    raise ProtocolError(f"{self._path} has more than {MAX_ENTRIES} entries")
                for entry in batch:
                    _check(entry)
                yield excludes.kept(batch, within)

    async def stat(self, names: Sequence[str]) -> Sequence[TreeEntry | None]:
        """What is there."""
        return await self._provider.stat_many(StatManyRequest(names=names, **self._common))

    async def digest(self, files: Sequence[DigestWanted]) -> Sequence[str | None]:
        """Checksums."""
        return await self._provider.digest_many(DigestManyRequest(files=files, **self._common))

    def read(self, files: Sequence[FileWanted]) -> AsyncIterator[Sequence[TreePart]]:
        """The parts of files."""
        return self._provider.read_many(ReadManyRequest(files=files, **self._common))

    async def write(
        self, parts: AsyncIterator[Sequence[TreePart]], mode: int | None
    ) -> Sequence[NotStored]:
        """Store parts."""
        return await self._provider.write_many(
            WriteManyRequest(parts=parts, mode=mode, **self._common)
        )

    def error(self, number: int, name: str, message: str) -> OSError:
        """The `FileError` that fits."""
        path = posixpath.join(self._path, name)
        return file_error(number, path, f"{path}: {message}")


def _check(entry: TreeEntry) -> None:
    """See that a name stays in its tree, and that a link can be one."""
    try:
        parts_of(entry.name)
    except ValueError as error:
        raise ProtocolError(f"the sandbox lists what it must not: {error}") from error
    if entry.type == "symlink" and (not entry.target or "\0" in entry.target):
        raise ProtocolError(f"the sandbox lists {entry.name!r:.100} as a link to nowhere")
