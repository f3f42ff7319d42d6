"""The Connect protocol with its JSON codec, as far as both SDKs speak it.

A unary call is a POST of JSON. A stream is made of frames: a byte of flags, four of length, JSON;
the last one has flag 2 and says whether all went well (https://connectrpc.com/docs/protocol).
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response

from ...errors import (
    ExecLostError,
    FileError,
    InvalidRequestError,
    NotFoundError,
    PathExistsError,
    PathNotFoundError,
    PathPermissionError,
    RateLimitError,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    TransportError,
    UnsupportedError,
)
from ..refusal import Refusal

__all__ = [
    "MAX_MESSAGE",
    "STREAM",
    "ConnectError",
    "connect_error",
    "ending",
    "frame",
    "framed",
    "frames_of",
    "message_of",
    "timeout_of",
    "unary_answer",
]

STREAM = "application/connect+json"
MAX_MESSAGE = 8 << 20
"""Bytes of one message of a client."""

_HEAD = struct.Struct(">BI")
_END = 2
_COMPRESSED = 1

_HTTP = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "unauthenticated": 401,
}


class ConnectError(Exception):
    """A call that failed.

    Attributes:
        code: as the protocol names it.
        message: for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_CODES: tuple[tuple[type[SandboxError], str], ...] = (
    (UnsupportedError, "unimplemented"),
    (PathNotFoundError, "not_found"),
    (PathExistsError, "already_exists"),
    (PathPermissionError, "permission_denied"),
    (FileError, "invalid_argument"),
    (InvalidRequestError, "invalid_argument"),
    (RateLimitError, "resource_exhausted"),
    (SandboxNotFoundError, "unavailable"),
    (SandboxPausedError, "unavailable"),
    (NotFoundError, "not_found"),
    (ExecLostError, "unavailable"),
    (TransportError, "unavailable"),
)
GONE = "The sandbox was not found"


def connect_error(error: SandboxError) -> ConnectError:
    """What an error of ours is on this wire."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
    if isinstance(error, FileError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        code = "resource_exhausted"
    if isinstance(error, SandboxNotFoundError | SandboxPausedError):
        return ConnectError(code, GONE)
    return ConnectError(code, error.message)


def timeout_of(text: str | None) -> float | None:
    """Seconds, from the header ``Connect-Timeout-Ms``.

    Raises:
        ConnectError: it is no number.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ConnectError("invalid_argument", "Connect-Timeout-Ms is not a number")
    return int(text) / 1000


def frame(message: object, flags: int = 0) -> bytes:
    """One frame."""
    return framed(json.dumps(message, separators=(",", ":")).encode(), flags)


def framed(body: bytes, flags: int = 0) -> bytes:
    """One frame, of JSON that is written already."""
    return _HEAD.pack(flags, len(body)) + body


def ending(error: ConnectError | None = None) -> bytes:
    """The last frame."""
    if error is None:
        return _WELL
    return frame({"error": {"code": error.code, "message": error.message}}, _END)


_WELL = frame({}, _END)


def unary_answer(value: object) -> Response:
    """The answer to a unary call."""
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, media_type="application/json")


def unary_error(error: ConnectError) -> Response:
    """The answer to a unary call that failed."""
    body = json.dumps({"code": error.code, "message": error.message})
    return Response(body, status_code=_HTTP[error.code], media_type="application/json")


def message_of(body: bytes) -> dict[str, Any]:
    """A message's JSON object.

    Raises:
        ConnectError: it is none.
    """
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise ConnectError("invalid_argument", "the message is not JSON") from None
    if not isinstance(value, dict):
        raise ConnectError("invalid_argument", "the message is not a JSON object")
    return value


async def frames_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The messages of a client's stream.

    Raises:
        ConnectError: it is cut off, has a message that is too large or is not JSON.
    """
    waiting = bytearray()
    try:
        async for chunk in chunks:
            waiting += chunk
            while (body := _taken(waiting)) is not None:
                yield message_of(body)
    except Refusal as refusal:
        raise ConnectError("invalid_argument", refusal.message) from None
    if waiting:
        raise ConnectError("invalid_argument", "the stream ends in the middle of a message")


def _taken(waiting: bytearray) -> bytes | None:
    if len(waiting) < _HEAD.size:
        return None
    flags, length = _HEAD.unpack_from(waiting)
    if flags & _COMPRESSED:
        raise ConnectError("unimplemented", "compressed messages are not served")
    if flags:
        raise ConnectError("invalid_argument", f"unknown flags {flags} of a message")
    if length > MAX_MESSAGE:
        raise ConnectError(
            "resource_exhausted", f"a message of {length} bytes is larger than {MAX_MESSAGE}"
        )
    if len(waiting) < _HEAD.size + length:
        return None
    body = bytes(waiting[_HEAD.size : _HEAD.size + length])
    del waiting[: _HEAD.size + length]
    return body
