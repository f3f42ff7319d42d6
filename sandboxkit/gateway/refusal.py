"""A request that is answered with an error, and what errors of ours mean over HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import (
    ConfigError,
    CreateTimeoutError,
    FileError,
    InvalidRequestError,
    NotFoundError,
    PathPermissionError,
    ProviderUnavailableError,
    RateLimitError,
    SandboxError,
    SandboxPausedError,
    TransportError,
    UnsupportedError,
)

__all__ = ["Refusal", "refusal_of"]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that says why there is no other.

    Attributes:
        status: of the answer.
        message: for people.
        headers: of the answer, besides the usual ones.
        more: what else its JSON body has.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> dict[str, Any]:
        """Its JSON body."""
        return {"code": self.status, "message": self.message, **self.more}


_STATUSES: tuple[tuple[type[SandboxError], int], ...] = (
    (UnsupportedError, 501),
    (InvalidRequestError, 400),
    (PathPermissionError, 403),
    (FileError, 400),
    (ConfigError, 500),
    (RateLimitError, 429),
    (SandboxPausedError, 409),
    (NotFoundError, 404),
    (CreateTimeoutError, 504),
    (ProviderUnavailableError, 503),
    (TransportError, 502),
)


def refusal_of(error: SandboxError) -> Refusal:
    """The answer that an error of ours becomes."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif status in (429, 502, 503, 504):
        headers["Should-Retry"] = "false"
    return Refusal(status, error.message, headers=headers, error_code=error.code)
