"""The pieces that many files travel in on one stream: five bytes of header, then the payload.

A byte stream of its own above DATA, whose frames may cut it anywhere. For both sides; pure.
docs/guest-protocol.md is the definition.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, Iterator, List, Tuple

from . import frames

#: A file begins, or a directory or link: ``{"entry": [...], "offset": N}``.
BEGIN = 1
#: Bytes of the file that was begun.
CONTENT = 2
#: The file ends: ``{"errno": N}`` if not all of it could be read.
END = 3
#: Entries: ``{"entries": [...]}``.
ENTRIES = 4

HEADER_SIZE = 5
MAX_CONTENT = 65_536
MAX_JSON = 65_536
MAX_ENTRIES = 1 << 20

_HEADER = struct.Struct(">BI")
_LIMITS = {BEGIN: MAX_JSON, CONTENT: MAX_CONTENT, END: MAX_JSON, ENTRIES: MAX_ENTRIES}

Piece = Tuple[int, bytes]
Message = Dict[str, Any]


class PieceError(ValueError):
    """The other side sent what is no piece."""


def json_piece(kind: int, value: Dict[str, Any]) -> bytes:
    """A piece whose payload is JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    return _HEADER.pack(kind, len(text)) + text


def content_piece(data: bytes) -> List[bytes]:
    """A piece of content, in parts to be joined."""
    return [_HEADER.pack(CONTENT, len(data)), data]


def payload_of(payload: bytes) -> Dict[str, Any]:
    """The JSON in a piece.

    Raises:
        PieceError: it is none.
    """
    try:
        return frames.decode_json(payload)
    except frames.FrameError as error:
        raise PieceError(str(error)) from error


class Decoder:
    """Cuts a byte stream into pieces; holds at most one that is not complete, and the last feed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of which no piece was made yet."""
        return len(self._buffer)

    def feed(self, data: frames.Buffer) -> Iterator[Piece]:
        """Take in `data`; gives the pieces that are complete. Exhaust it before the next feed.

        Raises:
            PieceError: while iterating; the decoder is of no further use.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER_SIZE:
                kind, length = _HEADER.unpack_from(self._buffer, start)
                if length > _LIMITS.get(kind, -1):
                    raise PieceError(f"a piece of type {kind} and length {length}")
                end = start + HEADER_SIZE + length
                if end > len(self._buffer):
                    break
                with memoryview(self._buffer) as view:
                    payload = bytes(view[start + HEADER_SIZE : end])
                start = end
                yield kind, payload
        finally:
            del self._buffer[:start]
