"""URLs that carry their own right to one file: a hash over what they may do, and the token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable

from ..refusal import Refusal
from ..state import SandboxRecord

__all__ = ["check_signature", "signer_of"]


def _signature(path: str, operation: str, user: str, token: str, expires: str | None) -> str:
    parts = [path, operation, user, token, *([] if expires is None else [expires])]
    digest = hashlib.sha256(":".join(parts).encode("utf-8", "surrogatepass")).digest()
    return "v1_" + base64.b64encode(digest).decode("ascii").rstrip("=")


def _expected(query: dict[str, str], operation: str, token: str) -> str:
    return _signature(
        query.get("path", ""),
        operation,
        query.get("username", ""),
        token,
        query.get("signature_expiration"),
    )


def _fits(query: dict[str, str], operation: str, token: str) -> bool:
    given = query.get("signature", "").encode("utf-8", "replace")
    if ":" in query.get("username", ""):
        return False  # else one hash could stand for two paths
    return hmac.compare_digest(given, _expected(query, operation, token).encode())


def check_signature(query: dict[str, str], operation: str, token: str) -> None:
    """Let a URL pass.

    Raises:
        Refusal: it is not signed, forged, or its time is over.
    """
    if "signature" not in query:
        raise Refusal(401, "missing signature query parameter")
    if not _fits(query, operation, token):
        raise Refusal(401, "invalid signature")
    expires = query.get("signature_expiration")
    if expires is not None and (
        not (expires.isascii() and expires.isdigit()) or int(expires[:15]) < time.time()
    ):
        raise Refusal(401, "signature is already expired")


def signer_of(
    query: dict[str, str], operation: str, records: Iterable[SandboxRecord]
) -> SandboxRecord | None:
    """The sandbox with whose token a URL was signed, which names none in any other way."""
    return next((record for record in records if _fits(query, operation, record.token)), None)
