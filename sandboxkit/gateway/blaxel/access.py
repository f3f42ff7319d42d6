"""Who asks: API keys, and the tokens that client credentials are exchanged for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from typing import Any

from starlette.types import Scope

from ..keys import KeyRing, Tenant
from ..refusal import Refusal
from ..routing import header

__all__ = ["Access", "bearer_of"]

VALID = 7200
"""Seconds for which a token is good."""
PREFIX = "blt_"


def bearer_of(scope: Scope) -> str:
    """The key or token that a request carries; empty if none."""
    for name in (b"x-blaxel-authorization", b"authorization"):
        kind, _, value = (header(scope["headers"], name) or "").partition(" ")
        if kind.lower() == "bearer" and value.strip():
            return value.strip()
    return ""


class Access:
    """Finds the tenant of a request. Tokens are signed and kept nowhere; they end with the server.

    Args:
        keys: the tenants' keys.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._secret = secrets.token_bytes(32)

    def tenant(self, scope: Scope) -> Tenant:
        """Whose request this is.

        Raises:
            Refusal: nobody's.
        """
        given = bearer_of(scope)
        found = self._of_token(given) if given.startswith(PREFIX) else self._keys.tenant(given)
        if found is None:
            raise Refusal(
                401,
                "Invalid API key, or none: it is sent as X-Blaxel-Authorization",
                name="UNAUTHORIZED",
            )
        return found

    def exchange(self, scope: Scope) -> dict[str, Any]:
        """A token for client credentials, which are ``ID:KEY`` in Base64, or a key as it is.

        Raises:
            Refusal: they are nobody's.
        """
        kind, _, given = (header(scope["headers"], b"authorization") or "").partition(" ")
        given = given.strip()
        tenant = None
        if kind.lower() == "basic":
            tenant = self._keys.tenant(given) or self._keys.tenant(_password(given))
        if tenant is None:
            raise Refusal(401, "Invalid client credentials", name="UNAUTHORIZED")
        token = self._token(tenant.name, int(time.time()) + VALID)
        return {
            "access_token": token,
            "refresh_token": token,
            "expires_in": VALID,
            "token_type": "Bearer",
        }

    def _token(self, name: str, ends: int) -> str:
        said = f"{ends}.{name}".encode()
        signature = hmac.new(self._secret, said, hashlib.sha256).digest()
        return PREFIX + base64.urlsafe_b64encode(signature + said).decode().rstrip("=")

    def _of_token(self, token: str) -> Tenant | None:
        packed = token.removeprefix(PREFIX)
        try:
            raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
            ends, _, name = raw[32:].decode().partition(".")
            good = hmac.compare_digest(self._token(name, int(ends)).encode(), token.encode())
        except (binascii.Error, ValueError):
            return None
        return self._keys.named(name) if good and int(ends) > time.time() else None


def _password(packed: str) -> str:
    try:
        return base64.b64decode(packed, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
