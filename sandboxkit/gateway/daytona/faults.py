"""Answers that say why there is no other, as Daytona's services word them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from starlette.responses import Response

from ...errors import (
    InvalidRequestError,
    PathIsDirectoryError,
    PathNotDirectoryError,
    PathNotFoundError,
    PathPermissionError,
    SandboxError,
)
from ..http import json_answer
from ..refusal import Refusal, refusal_of

__all__ = ["Source", "body_of", "fault", "fault_answer", "fault_of"]

Source = Literal["DAYTONA_API", "DAYTONA_DAEMON", "DAYTONA_PROXY"]

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    410: "GONE",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    501: "NOT_IMPLEMENTED",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
    504: "GATEWAY_TIMEOUT",
}
_FILES: tuple[tuple[type[SandboxError], int, str], ...] = (
    (PathNotFoundError, 404, "FILE_NOT_FOUND"),
    (PathPermissionError, 403, "FILE_ACCESS_DENIED"),
    (PathIsDirectoryError, 400, "INVALID_FILE_PATH"),
    (PathNotDirectoryError, 400, "INVALID_FILE_PATH"),
)


def fault(status: int, message: str, word: str = "") -> Refusal:
    """A refusal with a word for it that the SDKs know."""
    return Refusal(status, message, fault=word or _CODES.get(status, "ERROR"))


def fault_of(error: SandboxError) -> Refusal:
    """The answer that an error of ours becomes."""
    for kind, status, code in _FILES:
        if isinstance(error, kind):
            return fault(status, error.message, code)
    refusal = refusal_of(error)
    if refusal.status == 501 and not isinstance(error, InvalidRequestError):
        refusal.more["fault"] = _CODES[501]
    return refusal


def body_of(refusal: Refusal, source: Source, path: str) -> dict[str, Any]:
    """The JSON of an error."""
    return {
        "statusCode": refusal.status,
        "message": refusal.message,
        "code": refusal.more.get("fault") or _CODES.get(refusal.status, "ERROR"),
        "source": source,
        "path": path,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }


def fault_answer(refusal: Refusal, source: Source, path: str) -> Response:
    """The answer that a refusal becomes."""
    headers: Mapping[str, str] = refusal.headers
    return json_answer(body_of(refusal, source, path), refusal.status, headers)
