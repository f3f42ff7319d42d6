"""The frame codec of the guest protocol, for both sides. Pure: no sockets, no clocks.

`Decoder` turns bytes, however they are cut, into `Frame`s and judges every header before any of
its payload is kept; `encode` and `encode_json` make frames. docs/guest-protocol.md is the
definition.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, Iterator, NamedTuple, Union

MAJOR = 1
MINOR = 0

#: The feature of a client that wants to be told of pauses, in events of stream 0.
PAUSE = "pause"

HELLO = 1
OPEN = 2
EVENT = 3
DATA = 4
CREDIT = 5
RESULT = 6
ERROR = 7
CONTROL = 8
RESET = 9
BYE = 10

FIN = 1

#: Channels of ``DATA`` and ``CREDIT``.
MAIN = 0
STDOUT = 1
STDERR = 2

HEADER_SIZE = 12
MAX_DATA = 65_536
MAX_JSON = 1_048_576
#: Bytes of ``DATA`` each (stream, channel, direction) may carry before the first ``CREDIT``.
WINDOW = 262_144

_HEADER = struct.Struct(">BBHII")
_U32 = struct.Struct(">I")
# json reads a long row of digits in quadratic time on older interpreters.
_MAX_DIGITS = 100

_LIMITS = {
    HELLO: MAX_JSON,
    OPEN: MAX_JSON,
    EVENT: MAX_JSON,
    DATA: MAX_DATA,
    CREDIT: 4,
    RESULT: MAX_JSON,
    ERROR: MAX_JSON,
    CONTROL: MAX_JSON,
    RESET: 0,
    BYE: 0,
}

Buffer = Union[bytes, bytearray, memoryview]


class FrameError(Exception):
    """The other side broke the protocol; the connection must be closed."""


class Frame(NamedTuple):
    """One frame whose header was found good.

    Attributes:
        type: one of the type constants of this module.
        stream: 0 for ``HELLO`` and ``BYE``, else 1 and up.
        payload: raw; see `Frame.json` and `Frame.credit`.
        channel: `MAIN`, `STDOUT` or `STDERR`.
        fin: nothing more follows on this channel.
    """

    type: int
    stream: int
    payload: bytes = b""
    channel: int = 0
    fin: bool = False

    def json(self) -> Dict[str, Any]:
        """The payload as a JSON object.

        Raises:
            FrameError: it is none.
        """
        return decode_json(self.payload)

    def credit(self) -> int:
        """How many bytes a ``CREDIT`` frame grants."""
        (granted,) = _U32.unpack(self.payload)
        return int(granted)


def _bounded_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number of too many digits")
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_JSON = json.JSONDecoder(parse_int=_bounded_int, parse_constant=_no_constant)


def decode_json(payload: Buffer) -> Dict[str, Any]:
    """A JSON object from UTF-8.

    Raises:
        FrameError: it is not one, or nests too deeply.
    """
    try:
        value = _JSON.decode(str(payload, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"bad JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise FrameError("the JSON is not an object")
    return value


def _check_header(kind: int, channel: int, flags: int, stream: int, length: int) -> None:
    limit = _LIMITS.get(kind)
    if limit is None:
        raise FrameError(f"unknown type {kind}")
    if length > limit or (kind == CREDIT and length != 4):
        raise FrameError(f"a length of {length} for type {kind}")
    if flags and (flags != FIN or kind != DATA):
        raise FrameError(f"unknown flags {flags:#x} for type {kind}")
    if channel > STDERR or (channel and kind not in (DATA, CREDIT)):
        raise FrameError(f"channel {channel} for type {kind}")
    if (stream == 0) != (kind in (HELLO, BYE)) and (stream or kind != EVENT):
        raise FrameError(f"stream {stream} for type {kind}")


class Decoder:
    """Cuts a byte stream into frames.

    It holds at most one incomplete frame, plus what the last `feed` brought. After a `FrameError`
    it is of no further use.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes held that no frame has been made of yet."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> Iterator[Frame]:
        """Take in `data`; the iterator gives the frames that are complete now.

        Frames not taken from the iterator are given by the next one.

        Raises:
            FrameError: while iterating, after every frame before the bad one was given.
        """
        self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        start = 0
        try:
            while len(self._buffer) - start >= HEADER_SIZE:
                kind, channel, flags, stream, length = _HEADER.unpack_from(self._buffer, start)
                _check_header(kind, channel, flags, stream, length)
                end = start + HEADER_SIZE + length
                if end > len(self._buffer):
                    break
                with memoryview(self._buffer) as view:
                    payload = bytes(view[start + HEADER_SIZE : end])
                start = end
                yield Frame(kind, stream, payload, channel, bool(flags & FIN))
        finally:
            del self._buffer[:start]


def header(kind: int, stream: int, length: int, channel: int = 0, fin: bool = False) -> bytes:
    """The twelve bytes before a payload of `length`, for writers that gather."""
    return _HEADER.pack(kind, channel, FIN if fin else 0, stream, length)


def encode(
    kind: int, stream: int, payload: Buffer = b"", channel: int = 0, fin: bool = False
) -> bytes:
    """A whole frame.

    Raises:
        FrameError: the other side would refuse it.
    """
    _check_header(kind, channel, FIN if fin else 0, stream, len(payload))
    return b"".join((header(kind, stream, len(payload), channel, fin), payload))


def encode_json(kind: int, stream: int, value: Dict[str, Any]) -> bytes:
    """A frame whose payload is `value` as JSON; lone surrogates survive the journey.

    Raises:
        FrameError: it is larger than `MAX_JSON`.
    """
    return encode(kind, stream, _ENCODE(value).encode("ascii"))


def encode_credit(stream: int, channel: int, granted: int) -> bytes:
    """A ``CREDIT`` frame for `granted` more bytes."""
    return encode(CREDIT, stream, _U32.pack(granted), channel)
