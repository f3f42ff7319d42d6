"""What `loader` is sent, and what it says."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import AsyncIterator

from ...errors import ProtocolError

__all__ = [
    "ARCHIVE",
    "DATA",
    "FAILED",
    "FIRST",
    "NEED",
    "READY",
    "REFUSED",
    "lines",
    "message",
    "unpacked",
    "variables",
]

ARCHIVE, DATA = 1, 2
NEED, READY = b"sandboxkit need", b"sandboxkit ready"
REFUSED, FAILED = b"sandboxkit refused ", b"sandboxkit failed "

FIRST = "SANDBOXKIT_FIRST_"
"""How the variables begin that hold what the loader reads first."""

_VARIABLE = 96 << 10

MAX_LINE = 1 << 18
"""Bytes; the loader's longest line is a quarter of it."""

_HEADER = struct.Struct("!BIH")


def variables(first: bytes) -> dict[str, str]:
    """What the loader is to read first, as variables it is started with; the kernel bounds each."""
    text = base64.b64encode(first).decode("ascii")
    pieces = [text[at : at + _VARIABLE] for at in range(0, len(text), _VARIABLE)]
    return {f"{FIRST}{number}": piece for number, piece in enumerate(pieces)}


def message(kind: int, content: bytes, patience: float) -> bytes:
    """A message for the loader, which waits `patience` seconds for the next one, then ends."""
    return _HEADER.pack(kind, len(content), round(patience * 10)) + content


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The loader's lines, without their ends; an unfinished last one is dropped.

    Raises:
        ProtocolError: one is longer than any can be.
    """
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > MAX_LINE:
            raise ProtocolError("the loader sent a line that is too long")


def unpacked(line: bytes) -> bytes:
    """What the guest sent, from a line of the loader's.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise ProtocolError("the loader sent what is no Base64") from error
