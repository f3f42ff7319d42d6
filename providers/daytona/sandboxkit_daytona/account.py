"""One account: the SDK with the profile's settings, and what it raises in words of ours."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import TypeVar

from daytona import AsyncDaytona, DaytonaConfig

from sandboxkit.errors import AuthenticationError
from sandboxkit.provider.translating import Translated

from .errors import KEY_HINT, MISSING_KEY, translated
from .settings import DaytonaSettings

__all__ = ["Account"]

T = TypeVar("T")

_SHORTEST_SECRET = 6


class Account:
    """What is asked of Daytona goes through here.

    Args:
        settings: bound to every call.
    """

    def __init__(self, settings: DaytonaSettings) -> None:
        self.settings = settings
        self._client: AsyncDaytona | None = None
        self._made_in: tuple[int, asyncio.AbstractEventLoop] | None = None
        found = [settings.api_key, settings.jwt_token]
        self._secrets = [one for one in found if one and len(one) >= _SHORTEST_SECRET]

    @property
    def client(self) -> AsyncDaytona:
        """The SDK's client, which is made at the first use; a forked child has one of its own.

        Raises:
            AuthenticationError: there is no key.
        """
        here = (os.getpid(), asyncio.get_running_loop())
        if self._client is None or self._made_in != here:
            settings = self.settings
            # Without one the SDK would look for a key in .env files of the working directory.
            if not settings.api_key and not (settings.jwt_token and settings.organization_id):
                raise AuthenticationError(MISSING_KEY, provider="daytona", hint=KEY_HINT)
            with self.translated("connect"):
                self._client = AsyncDaytona(
                    DaytonaConfig(
                        api_key=settings.api_key,
                        jwt_token=None if settings.api_key else settings.jwt_token,
                        organization_id=settings.organization_id,
                        api_url=settings.api_url,
                        target=settings.target,
                        otel_enabled=False,
                    )
                )
            self._made_in = here
        return self._client

    async def call(self, op: str, asked: Awaitable[T], *, bounded: bool = True) -> T:
        """Await a call of the SDK.

        Args:
            op: what is being done.
            asked: the call.
            bounded: whether it is one request, which has the profile's time for one.

        Raises:
            SandboxError: what the SDK raised, as ours.
        """
        with self.translated(op):
            async with asyncio.timeout(self.settings.request_timeout if bounded else None):
                return await asked

    def translated(self, op: str) -> Translated:
        """A ``with`` block in which what the SDK raises becomes ours, without secrets."""
        return translated(op, self._redacted)

    async def aclose(self) -> None:
        """Let go of its connections."""
        client, self._client = self._client, None
        if client is not None and self._made_in == (os.getpid(), asyncio.get_running_loop()):
            await client.close()  # type: ignore[no-untyped-call]

    def _redacted(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return message
