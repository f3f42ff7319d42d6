"""The service ``filesystem.Filesystem``: look, make, move, remove, watch."""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from ...errors import (
    FileError,
    PathExistsError,
    PathNotDirectoryError,
    PathNotFoundError,
    SandboxError,
)
from ...models import FileEvent, FileInfo, SandboxInfo
from ...sandbox import AsyncSandbox
from ...watch import AsyncWatch
from . import fields
from .call import Call
from .connect import ConnectError, frame
from .entries import entry_of, resolved
from .running import home_of

__all__ = ["FilesystemService", "Watchers", "path_in"]

KEEPALIVE = 90.0
MAX_QUEUE = 10_000
"""Events that a watcher keeps for a client that does not ask for them; then the oldest go."""
HALF_WRITTEN = ".sandboxkit-"
"""What the names of files begin with that are being written."""
MAX_WATCHERS = 100
"""Watchers of one sandbox that are asked by polling."""

_KINDS = {
    "created": "EVENT_TYPE_CREATE",
    "modified": "EVENT_TYPE_WRITE",
    "attributes": "EVENT_TYPE_CHMOD",
    "removed": "EVENT_TYPE_REMOVE",
    "renamed": "EVENT_TYPE_RENAME",
}
_WITH_ENTRY = {"EVENT_TYPE_CREATE", "EVENT_TYPE_WRITE", "EVENT_TYPE_CHMOD"}


def path_in(info: SandboxInfo, user: str | None, path: str) -> str:
    """An absolute path from a client's, which may be empty or begin with ``~``.

    Raises:
        ConnectError: it is none.
    """
    home = home_of(info, user)
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    elif path.startswith("~"):
        raise ConnectError("invalid_argument", "the home of another user cannot be named with ~")
    if "\0" in path:
        raise ConnectError("invalid_argument", "a NUL byte cannot be in a path")
    return posixpath.normpath(posixpath.join(info.workdir, path))


class Watchers:
    """The watches of one sandbox whose clients ask for events from time to time."""

    def __init__(self) -> None:
        self._watches: dict[str, tuple[AsyncWatch, asyncio.Task[None], deque[dict[str, Any]]]] = {}

    async def close(self) -> None:
        """End them all."""
        for identifier in [*self._watches]:
            await self.remove(identifier)

    def add(self, watch: AsyncWatch, events: AsyncIterator[dict[str, Any]]) -> str:
        """Keep a watch's events; returns what to ask for them with."""
        queue: deque[dict[str, Any]] = deque(maxlen=MAX_QUEUE)
        identifier = secrets.token_hex(8)
        task = asyncio.create_task(_fill(events, queue))
        self._watches[identifier] = (watch, task, queue)
        return identifier

    def check_room(self) -> None:
        """Refuse one watcher too many.

        Raises:
            ConnectError: there are as many as may be.
        """
        if len(self._watches) >= MAX_WATCHERS:
            raise ConnectError("resource_exhausted", f"there are {MAX_WATCHERS} watchers already")

    def take(self, identifier: str) -> list[dict[str, Any]]:
        """The events since this was asked last.

        Raises:
            ConnectError: there is no such watcher.
        """
        found = self._watches.get(identifier)
        if found is None:
            raise ConnectError("not_found", f"watcher with id {identifier} not found")
        events = [*found[2]]
        found[2].clear()
        return events

    async def remove(self, identifier: str) -> None:
        """End a watch. Idempotent."""
        found = self._watches.pop(identifier, None)
        if found is None:
            return
        watch, task, _ = found
        task.cancel()
        await asyncio.wait({task})
        with contextlib.suppress(SandboxError):  # it ended with its sandbox
            await watch.close()


async def _fill(events: AsyncIterator[dict[str, Any]], queue: deque[dict[str, Any]]) -> None:
    with contextlib.suppress(SandboxError):  # the next call tells of it
        async for event in events:
            queue.append(event)


class FilesystemService:
    """One client's call of it."""

    def __init__(
        self, sandbox: AsyncSandbox, info: SandboxInfo, watchers: Watchers, call: Call
    ) -> None:
        self._files = sandbox.files
        self._info = info
        self._watchers = watchers
        self._user = call.user
        self._call = call
        self._look = partial(self._files.stat, user=self._user)

    def _path(self, message: fields.Message, name: str = "path") -> str:
        return path_in(self._info, self._user, fields.text(message, name, "") or "")

    async def stat(self, message: fields.Message) -> dict[str, Any]:
        """What is known of a path."""
        return {"entry": await self._entry(self._path(message))}

    async def _entry(self, path: str) -> dict[str, Any]:
        return await entry_of(await self._look(path), self._look)

    async def list_dir(self, message: fields.Message) -> dict[str, Any]:
        """What is in a directory; one that is a link is followed."""
        path = self._path(message)
        top = await self._directory(path)
        depth = max(1, fields.number(message, "depth", 1))
        found = await self._files.list(top, depth=depth, user=self._user)
        entries = [await entry_of(info, self._look) for info in found]
        for entry in entries:
            if entry["path"].startswith(top + "/"):
                entry["path"] = posixpath.join(path, posixpath.relpath(entry["path"], top))
        return {"entries": entries}

    async def _directory(self, path: str) -> str:
        try:
            info = await self._look(path)
        except PathNotFoundError:
            raise ConnectError(
                "not_found", f"path not found: lstat {path}: no such file or directory"
            ) from None
        found: FileInfo | None = info
        if info.type == "symlink":
            found = await resolved(info, self._look)
        if found is None or not found.is_dir:
            raise ConnectError("invalid_argument", f"path is not a directory: {path}")
        return found.path

    async def make_dir(self, message: fields.Message) -> dict[str, Any]:
        """Make a directory, with its parents; one that is there already is an error."""
        path = self._path(message)
        try:
            there = await self._look(path)
        except PathNotFoundError:
            try:
                await self._files.mkdir(path, user=self._user)
            except (PathExistsError, PathNotDirectoryError) as error:
                raise ConnectError("invalid_argument", error.message) from None
            return {"entry": await self._entry(path)}
        if there.is_dir:
            raise ConnectError("already_exists", f"directory already exists: {path}")
        raise ConnectError("invalid_argument", f"path exists and is no directory: {path}")

    async def move(self, message: fields.Message) -> dict[str, Any]:
        """Rename, and make the target's parents."""
        source, target = self._path(message, "source"), self._path(message, "destination")
        await self._look(source)
        await self._files.mkdir(posixpath.dirname(target), user=self._user)
        await self._files.rename(source, target, user=self._user)
        return {"entry": await self._entry(target)}

    async def remove(self, message: fields.Message) -> dict[str, Any]:
        """Remove whatever is there, if anything is."""
        with contextlib.suppress(PathNotFoundError):
            await self._files.remove(self._path(message), recursive=True, user=self._user)
        return {}

    # -- watching -----------------------------------------------------------------------------

    async def watch_dir(self, message: fields.Message) -> AsyncGenerator[bytes]:
        """Tell what happens in a directory."""
        watch, events = await self._watch(message)
        nearest: asyncio.Future[dict[str, Any] | None] | None = None
        try:
            yield frame({"start": {}})
            while True:
                nearest = nearest or asyncio.ensure_future(anext(events, None))
                silence = self._call.keepalive or KEEPALIVE
                done, _ = await asyncio.wait({nearest}, timeout=silence)
                if not done:
                    yield frame({"keepalive": {}})
                    continue
                event, nearest = nearest.result(), None
                if event is None:
                    return
                yield frame({"filesystem": event})
        finally:
            if nearest is not None:
                nearest.cancel()
                await asyncio.wait({nearest})
            with contextlib.suppress(SandboxError):
                await watch.close()

    async def create_watcher(self, message: fields.Message) -> dict[str, Any]:
        """Begin to keep what happens in a directory."""
        self._watchers.check_room()
        watch, events = await self._watch(message)
        return {"watcherId": self._watchers.add(watch, events)}

    async def get_watcher_events(self, message: fields.Message) -> dict[str, Any]:
        """What has happened since the last time."""
        return {"events": self._watchers.take(fields.text(message, "watcherId", "") or "")}

    async def remove_watcher(self, message: fields.Message) -> dict[str, Any]:
        """End a watcher."""
        await self._watchers.remove(fields.text(message, "watcherId", "") or "")
        return {}

    async def _watch(
        self, message: fields.Message
    ) -> tuple[AsyncWatch, AsyncIterator[dict[str, Any]]]:
        path = await self._directory(self._path(message))
        recursive = fields.flag(message, "recursive")
        with_entries = fields.flag(message, "includeEntry")
        watch = await self._files.watch(path, recursive=recursive, user=self._user)
        return watch, self._events(watch, path, with_entries=with_entries)

    async def _events(
        self, watch: AsyncWatch, top: str, *, with_entries: bool
    ) -> AsyncIterator[dict[str, Any]]:
        while (event := await watch.next()) is not None:
            for kind, path in _told(event):
                one: dict[str, Any] = {"name": posixpath.relpath(path, top), "type": kind}
                if with_entries and kind in _WITH_ENTRY:
                    with contextlib.suppress(FileError):  # it has gone again
                        one["entry"] = await self._entry(path)
                yield one


def _told(event: FileEvent) -> list[tuple[str, str]]:
    """An event in the wire's words, which has a renaming as two and no word for lost events."""
    if event.kind not in _KINDS:
        return []
    if posixpath.basename(event.path).startswith(HALF_WRITTEN):
        # A file is written beside its place and renamed to it, which no client of E2B expects.
        if event.kind != "renamed" or event.target is None:
            return []
        return [("EVENT_TYPE_CREATE", event.target), ("EVENT_TYPE_WRITE", event.target)]
    told = [(_KINDS[event.kind], event.path)]
    if event.kind == "renamed" and event.target is not None:
        told.append(("EVENT_TYPE_CREATE", event.target))
    return told
