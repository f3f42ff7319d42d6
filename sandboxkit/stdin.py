"""Feeding a command's standard input from whatever the user has."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from .errors import InvalidRequestError, ProcessNotFoundError, TransportError
from .provider import ProcessStream
from .threads import in_thread

__all__ = ["ByteSource", "Readable", "Stdin", "check_source", "chunks", "feed"]

CHUNK = 256 << 10
_END: Any = object()


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
        with await in_thread(_opened, source) as file:
            while content := await _read(file):
                yield content
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield _piece(piece)
    elif isinstance(source, Readable):
        while content := await _read(source):
            yield content
    else:
        iterator: Iterator[Any] = iter(source)
        while (item := await in_thread(next, iterator, _END)) is not _END:
            yield _piece(item)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


async def _read(file: Readable) -> bytes:
    # An aiofiles-like file answers with an awaitable, a text file with text.
    piece: Any = await in_thread(file.read, CHUNK)
    if inspect.isawaitable(piece):
        piece = await piece
    return _piece(piece)


def _piece(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"content must come as bytes or text, not {piece!r:.60}")
    return bytes(piece)


def check_source(source: Any, op: str) -> None:
    """See that content can be read from it, and that a local file is there.

    Raises:
        InvalidRequestError: it is nothing that content can be read from.
        FileNotFoundError: the local file is not there (or the built-in that fits).
    """
    if isinstance(source, Path):
        with source.open("rb"):
            return
    if not isinstance(source, Readable) and not any(
        hasattr(source, name) for name in ("__iter__", "__aiter__")
    ):
        raise InvalidRequestError(
            f"{op}: content is bytes, text, a Path, an open file or chunks, not {source!r:.60}",
            op=op,
        )


async def feed(process: ProcessStream, source: ByteSource) -> None:
    """Send all of a source and then the end of input; stop quietly if nobody reads it."""
    try:
        async for piece in chunks(source):
            await process.send_stdin(piece)
        await process.close_stdin()
    except (BrokenPipeError, ProcessNotFoundError, TransportError):
        return  # the command's own result, or its loss, is what the caller hears of
