"""What proves to Blaxel who we are, for one profile alone."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import httpx

from sandboxkit.errors import AuthenticationError

from .errors import KEY_HINT, MISSING_KEY
from .settings import BlaxelSettings

__all__ = ["Access"]

EARLY = 600.0
"""Seconds before its end from which on a token is exchanged for a new one."""
_HEADER = "X-Blaxel-Authorization"


class Access(httpx.Auth):
    """Puts a key on each request, or a token that client credentials are exchanged for.

    The SDK's own way to exchange them stops the event loop meanwhile; this one does not.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: BlaxelSettings) -> None:
        self._settings = settings
        self._token = ""
        self._until = 0.0

    def check(self) -> None:
        """See that there is something to prove it with.

        Raises:
            AuthenticationError: there is not.
        """
        known = self._settings.api_key or self._settings.client_credentials
        if not known or not self._settings.workspace:
            raise AuthenticationError(MISSING_KEY, provider="blaxel", hint=KEY_HINT)

    @property
    def secrets(self) -> list[str]:
        """What must be in no message."""
        found = (self._settings.api_key, self._settings.client_credentials, self._token)
        return [one for one in found if one]

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Prove it for one request."""
        key = self._settings.api_key
        if key is None:
            if time.monotonic() > self._until - EARLY:
                answer = yield self._exchange()
                await answer.aread()
                self._take(answer)
            key = self._token
        request.headers[_HEADER] = f"Bearer {key}"
        request.headers["X-Blaxel-Workspace"] = self._settings.workspace or ""
        yield request

    def _exchange(self) -> httpx.Request:
        url = self._settings.api_url.rstrip("/") + "/oauth/token"
        headers = {"Authorization": f"Basic {self._settings.client_credentials}"}
        body = {"grant_type": "client_credentials"}
        return httpx.Request("POST", url, headers=headers, json=body)

    def _take(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            raise AuthenticationError(
                f"Blaxel does not take the client credentials (HTTP {answer.status_code})",
                provider="blaxel",
                hint=KEY_HINT,
            )
        body = answer.json()
        self._token = str(body["access_token"])
        self._until = time.monotonic() + float(body["expires_in"])
