"""Who calls a service in a sandbox, and how: what stands in the headers of a request."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from starlette.types import Scope

from ..routing import header
from .connect import ConnectError, timeout_of

__all__ = ["Call", "call_of"]

_KEEPALIVE = re.compile(r"0*[1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}")
"""Seconds from 1 to 3599."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        user: who it acts as; ``None`` is the sandbox's own user.
        timeout: seconds the client gives it, or ``None``.
        keepalive: seconds of silence after which the client wants a sign of life.
    """

    user: str | None = None
    timeout: float | None = None
    keepalive: float | None = None


def call_of(scope: Scope) -> Call:
    """Read a request's headers.

    Raises:
        ConnectError: they are malformed.
    """
    headers = scope["headers"]
    keepalive = header(headers, b"keepalive-ping-interval") or ""
    return Call(
        user=_user(header(headers, b"authorization")),
        timeout=timeout_of(header(headers, b"connect-timeout-ms")),
        keepalive=float(keepalive) if _KEEPALIVE.fullmatch(keepalive) else None,
    )


def _user(authorization: str | None) -> str | None:
    """The user of a Basic header; there is no password."""
    if authorization is None:
        return None
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise ConnectError("unauthenticated", "the user cannot be read") from None
    return name or None
