"""Feeding a command's standard input from whatever the user has."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .errors import ProcessNotFoundError, TransportError
from .provider import ProcessStream

__all__ = ["ByteSource", "Readable", "Stdin", "chunks", "feed"]

CHUNK = 256 << 10


@runtime_checkable
class Readable(Protocol):
    """A binary file, open for reading."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


ByteSource = bytes | str | Path | Readable | Iterable[bytes] | AsyncIterable[bytes]
"""Content: bytes, text (sent as UTF-8), a local file, an open binary file, or chunks."""

Stdin = ByteSource | None
"""``None`` is ``/dev/null``."""


async def chunks(source: ByteSource) -> AsyncIterator[bytes]:
    """The content of any source in pieces of at most 256 KiB, without blocking the loop."""
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source)
        for start in range(0, len(view), CHUNK):
            yield bytes(view[start : start + CHUNK])
    elif isinstance(source, Path):
        with await asyncio.to_thread(source.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, CHUNK):
                yield piece
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
    elif isinstance(source, Readable):
        while piece := await _read(source):
            yield piece
    else:
        iterator = iter(source)
        while (item := await asyncio.to_thread(next, iterator, None)) is not None:
            yield item


async def _read(file: Readable) -> bytes:
    # An aiofiles-like file answers with an awaitable, a text file with text.
    piece: Any = await asyncio.to_thread(file.read, CHUNK)
    if inspect.isawaitable(piece):
        piece = await piece
    content: bytes = piece.encode() if isinstance(piece, str) else piece
    return content


async def feed(process: ProcessStream, source: ByteSource) -> None:
    """Send all of a source and then the end of input; stop quietly if nobody reads it."""
    try:
        async for piece in chunks(source):
            await process.send_stdin(piece)
        await process.close_stdin()
    except (BrokenPipeError, ProcessNotFoundError, TransportError):
        return  # the command's own result, or its loss, is what the caller hears of
