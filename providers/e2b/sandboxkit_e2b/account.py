"""One account: the SDK with the profile's settings bound to it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TypeVar

from e2b_code_interpreter import E2B, AsyncSandbox

from sandboxkit.errors import AuthenticationError
from sandboxkit.provider.translating import Translated

from .errors import KEY_HINT, MISSING_KEY, translated
from .forked import mend_after_fork
from .settings import E2BSettings

__all__ = ["Account"]

T = TypeVar("T")

_SHORTEST_SECRET = 6


class Account:
    """What is asked of E2B goes through here.

    Args:
        settings: bound to every call.
    """

    def __init__(self, settings: E2BSettings) -> None:
        mend_after_fork()
        self.settings = settings
        self._sandboxes: type[AsyncSandbox] = E2B(**settings.sdk_parameters()).AsyncSandbox
        found = [settings.api_key, settings.proxy, *settings.headers.values()]
        self._secrets = [one for one in found if one and len(one) >= _SHORTEST_SECRET]

    @property
    def sandboxes(self) -> type[AsyncSandbox]:
        """The SDK's class, bound to this account.

        Raises:
            AuthenticationError: there is no key.
        """
        if not self.settings.api_key:
            raise AuthenticationError(MISSING_KEY, provider="e2b", hint=KEY_HINT)
        return self._sandboxes

    async def call(self, op: str, asked: Awaitable[T]) -> T:
        """Await a call of the SDK.

        Raises:
            SandboxError: what the SDK raised, as ours.
        """
        with self.translated(op):
            return await asked

    def translated(self, op: str) -> Translated:
        """A ``with`` block in which what the SDK raises becomes ours, without secrets."""
        return translated(op, self._redacted)

    def _redacted(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return message


def sandbox_headers(sandbox: AsyncSandbox) -> Mapping[str, str]:
    """What a request to a port of a sandbox must carry."""
    token = sandbox.traffic_access_token
    return {"e2b-traffic-access-token": token} if isinstance(token, str) and token else {}
