"""File content to and from a guest, and its directories."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ..errors import ProtocolError, SandboxError, TransportError
from ..models import FileInfo
from ..provider import ListFilesRequest, ReadFileRequest, WriteFileRequest
from .client import Call, GuestClient
from .fields import Fields, items
from .inbox import Inbox
from .records import file_info
from .stream import GuestStream

__all__ = ["list_files", "read_file", "write_file"]

MAX_ENTRIES = 1_000_000
"""Entries of one listing that we hold in memory."""


async def read_file(client: GuestClient, request: ReadFileRequest) -> AsyncGenerator[bytes, None]:
    """The content in chunks, as fast as they are taken.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    stream = Reading()
    arguments: dict[str, Any] = {"path": request.path, "offset": request.offset}
    if request.length is not None:
        arguments["length"] = request.length
    await client.open(stream, "read", _as_user(arguments, request.user))
    try:
        while (chunk := await stream.inbox.get()) is not None:
            stream.take(0, len(chunk))
            yield chunk
    finally:
        stream.reset()


async def write_file(client: GuestClient, request: WriteFileRequest) -> None:
    """Send the content; the file is replaced when all of it has arrived, else not at all.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    call = Call()
    arguments: dict[str, Any] = {"path": request.path}
    if request.mode is not None:
        arguments["mode"] = request.mode
    await client.open(call, "write", _as_user(arguments, request.user))
    try:
        try:
            async for chunk in request.data:
                await call.send(chunk)
            call.send_end()
        except (BrokenPipeError, TransportError):
            if not call.answer.done():
                raise
        await call.answer
    finally:
        call.reset()


async def list_files(client: GuestClient, request: ListFilesRequest) -> list[FileInfo]:
    """What is in a directory, by path.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    call = Listing()
    arguments: dict[str, Any] = {"path": request.path, "depth": request.depth}
    await client.open(call, "list", _as_user(arguments, request.user))
    try:
        await call.answer
    finally:
        call.reset()
    return sorted(call.entries, key=lambda entry: entry.path)


def _as_user(arguments: dict[str, Any], user: str | None) -> dict[str, Any]:
    if user is not None:
        arguments["user"] = user
    return arguments


class Reading(GuestStream):
    """The stream of a `read`."""

    channels = frozenset({0})

    def __init__(self) -> None:
        super().__init__()
        self.inbox: Inbox[bytes] = Inbox()

    def on_data(self, channel: int, data: bytes) -> None:
        self.inbox.put(data)

    def on_result(self, result: Fields) -> None:
        if not self.finished(0):
            raise ProtocolError("the guest ended a file before its end")
        self.inbox.close()

    def on_error(self, error: SandboxError) -> None:
        self.inbox.close(error)

    def on_lost(self, error: TransportError) -> None:
        self.inbox.close(error)


class Listing(Call):
    """The stream of a `list`."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[FileInfo] = []

    def on_event(self, event: Fields, size: int) -> None:
        if event.get("event") != "entries" or self.answer.done():
            return
        self.entries += [file_info(entry) for entry in items(event, "entries")]
        if len(self.entries) > MAX_ENTRIES:
            self.reset()
            self.answer.set_exception(SandboxError(f"more than {MAX_ENTRIES} entries"))
