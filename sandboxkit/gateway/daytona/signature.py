"""URLs that carry their own right to one file: a hash over what they may do, keyed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

from ..state import SandboxRecord
from .faults import fault

__all__ = ["OPERATIONS", "check_signature"]

OPERATIONS = {("GET", "download"), ("POST", "upload-v2")}
"""What a signed URL may be for."""


def _signature(key: str, method: str, path: str, expires: str) -> str:
    signed = f"v1:files:{method}:{path}:{expires}".encode("utf-8", "surrogatepass")
    digest = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return "v1_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check_signature(query: Mapping[str, str], method: str, record: SandboxRecord) -> None:
    """Let a URL pass. One that expires at 0 never does.

    Raises:
        Refusal: it is forged, or its time is over.
    """
    expires = query.get("expires", "")
    wanted = _signature(record.token, method, query.get("path", ""), expires)
    if not hmac.compare_digest(
        query.get("signature", "").encode("utf-8", "replace"), wanted.encode()
    ):
        raise fault(401, "the signature is not valid")
    if not (expires.isascii() and expires.isdigit()) or (
        int(expires[:15]) and int(expires[:15]) < time.time()
    ):
        raise fault(401, "the signed URL has expired")
