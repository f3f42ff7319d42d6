"""One account: the SDK's generated functions, with a client of the profile's own."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from importlib import metadata
from typing import Any, TypeVar

import httpx

from sandboxkit.provider.translating import Translated

from . import sdk
from .access import Access
from .errors import translated
from .settings import BlaxelSettings

__all__ = ["Account"]

T = TypeVar("T")

_SHORTEST_SECRET = 6
CONNECT_TIMEOUT = 10.0


class Account:
    """What is asked of Blaxel goes through here.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: BlaxelSettings) -> None:
        self.settings = settings
        self._access = Access(settings)
        self._trust = httpx.create_ssl_context()  # costs more than a client that shares it
        self._control = self._connecting()
        self._pid = os.getpid()

    def _connecting(self) -> sdk.Client:
        return sdk.Client(
            base_url=self.settings.api_url.rstrip("/"),
            timeout=httpx.Timeout(self.settings.request_timeout, connect=CONNECT_TIMEOUT),
            **self._common(),
        )

    def _common(self) -> dict[str, Any]:
        agent = f"{sdk.settings.user_agent} sandboxkit/{metadata.version('sandboxkit-py')}"
        headers = {
            "Blaxel-Version": sdk.settings.api_version,
            **self.settings.headers,
            "User-Agent": agent,
        }
        proxy = self.settings.proxy
        return {
            "headers": headers,
            "auth": self._access,
            "verify_ssl": self._trust,
            "httpx_args": {} if proxy is None else {"proxy": proxy},
        }

    @property
    def control(self) -> sdk.Client:
        """What the functions of the control plane are called with; a forked child has its own.

        Raises:
            AuthenticationError: there is no key.
        """
        self._access.check()
        if self._pid != os.getpid():
            self._pid, self._control = os.getpid(), self._connecting()
        return self._control

    def inside(self, url: str) -> sdk.SandboxClient:
        """What the functions of a sandbox's own API are called with."""
        return sdk.SandboxClient(
            base_url=url.rstrip("/"),
            # Nothing but a stream is silent for so long.
            timeout=httpx.Timeout(300.0, connect=CONNECT_TIMEOUT),
            raise_on_unexpected_status=False,
            **self._common(),
        )

    async def call(
        self, op: str, asked: Awaitable[T | sdk.Error | sdk.SandboxError | None]
    ) -> T | None:
        """Await a function of the control plane, whose errors may be answers.

        Raises:
            SandboxError: what the SDK raised or answered, as ours.
        """
        with self.translated(op):
            answer = await asked
            if isinstance(answer, sdk.Error):
                raise sdk.SandboxAPIError(
                    _said(answer.message) or answer.error,
                    status_code=answer.code if isinstance(answer.code, int) else None,
                    code=answer.error,
                    error=answer,
                )
            if isinstance(answer, sdk.SandboxError):
                status = answer.status_code
                raise sdk.SandboxAPIError(
                    answer.message,
                    status_code=status if isinstance(status, int) else None,
                    code=answer.code,
                    error=answer,
                )
            return answer

    def translated(self, op: str) -> Translated:
        """A ``with`` block in which what the SDK raises becomes ours, without secrets."""
        return translated(op, self._redacted)

    def _redacted(self, message: str) -> str:
        found = [*self._access.secrets, self.settings.proxy, *self.settings.headers.values()]
        for secret in found:
            if secret and len(secret) >= _SHORTEST_SECRET:
                message = message.replace(secret, "***")
        return message

    async def aclose(self) -> None:
        """Close the connections to the control plane, but for those of a parent."""
        if self._pid == os.getpid():
            await self._control.get_async_httpx_client().aclose()


def _said(value: object) -> str:
    return value if isinstance(value, str) else ""
