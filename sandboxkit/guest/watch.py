"""A watch in a guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator
from typing import Any, get_args

from ..errors import ProtocolError, SandboxError, TransportError
from ..models import FileEvent, FileEventKind, FileType
from ..provider import WatchRequest, WatchStream
from .agent.frames import FrameError, decode_json
from .client import GuestClient
from .fields import Fields, text
from .inbox import Inbox
from .stream import GuestStream

__all__ = ["GuestWatch"]

_KINDS: dict[str, FileEventKind] = {name: name for name in get_args(FileEventKind)}
_TYPES: dict[str, FileType] = {name: name for name in get_args(FileType)}


class GuestWatch(WatchStream):
    """A watch that is set; see `begin`. It is not set again when the connection breaks."""

    def __init__(self, client: GuestClient, path: str) -> None:
        self._client = client
        self._link = WatchLink(path)

    @classmethod
    async def begin(cls, client: GuestClient, request: WatchRequest) -> GuestWatch:
        """Set a watch; returns when it is set.

        Raises:
            SandboxError: what the guest answered, or why it did not.
        """
        watch = cls(client, request.path)
        arguments: dict[str, Any] = {"path": request.path, "recursive": request.recursive}
        if request.user is not None:
            arguments["user"] = request.user
        await client.open(watch._link, "watch", arguments)
        try:
            await watch._link.ready
        except BaseException:
            watch._link.reset()
            raise
        return watch

    async def events(self) -> AsyncIterator[FileEvent]:
        link = self._link
        try:
            while (item := await link.inbox.get()) is not None:
                event, size = item
                link.take(0, size)
                yield event
        except TransportError as error:
            explained = await self._client.explain(error)
            raise self._located(explained) from error
        except SandboxError as error:
            self._located(error)
            raise

    async def aclose(self) -> None:
        self._link.reset()
        self._link.inbox.close()

    def _located(self, error: SandboxError) -> SandboxError:
        provider, sandbox_id = self._client.provider, self._client.sandbox_id
        return error.locate(op="watch", provider=provider, sandbox_id=sandbox_id)


class WatchLink(GuestStream):
    """The stream of a `watch`: lines of JSON on channel 0.

    Args:
        root: what is watched; nothing else may be told of.

    Attributes:
        ready: done when the watch is set.
        inbox: events, with the bytes of credit that each is worth.
    """

    channels = frozenset({0})

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root
        self._below = root.rstrip("/") + "/"
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.inbox: Inbox[tuple[FileEvent, int]] = Inbox()

    def on_event(self, event: Fields, size: int) -> None:
        if event.get("event") == "watching" and not self.ready.done():
            self.ready.set_result(None)

    def on_data(self, channel: int, data: bytes) -> None:
        if not data.endswith(b"\n"):
            raise ProtocolError("the guest sent half a line of what a watch has seen")
        for line in data[:-1].split(b"\n"):
            self.inbox.put((self._event(line), len(line) + 1))

    def on_result(self, result: Fields) -> None:
        self._finish(ProtocolError("the guest ended a watch before it was set"))
        self.inbox.close()

    def on_error(self, error: SandboxError) -> None:
        self._finish(error)
        self.inbox.close(error)

    def on_lost(self, error: TransportError) -> None:
        self.on_error(error)

    def _finish(self, error: SandboxError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # whoever waited may have been cancelled

    def _event(self, line: bytes) -> FileEvent:
        try:
            fields = decode_json(line)
        except FrameError as error:
            raise ProtocolError(f"the guest sent no event but {line[:80]!r}") from error
        kind, type_ = _KINDS.get(text(fields, "kind")), _TYPES.get(text(fields, "type"))
        if kind is None or type_ is None:
            raise ProtocolError(f"the guest sent an unknown event: {line[:80]!r}")
        return FileEvent(
            kind=kind,
            path=self._path(fields, "path"),
            type=type_,
            target=self._path(fields, "target") if kind == "renamed" else None,
        )

    def _path(self, fields: Fields, name: str) -> str:
        """A path that whoever makes a local one of it is not led astray by."""
        path = text(fields, name)
        if path != self._root and not path.startswith(self._below):
            raise ProtocolError(f"the guest told of {path!r:.80}, which is not watched")
        if posixpath.normpath(path) != path or "\0" in path:
            raise ProtocolError(f"the guest told of {path!r:.80}, which is no plain path")
        return path
