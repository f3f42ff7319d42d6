"""Requests that are sent twice and do their work once, by the header ``Idempotency-Key``."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .refusal import Refusal
from .state import SandboxRecord, State

__all__ = ["Once", "key_of"]

T = TypeVar("T")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,255}")


def key_of(text: str | None, body: bytes) -> tuple[str, str] | None:
    """A request's key and what it asks for, as a hash; ``None`` if it has no key.

    Raises:
        Refusal: the key is malformed.
    """
    if text is None:
        return None
    if not _KEY.fullmatch(text):
        raise Refusal(400, "Idempotency-Key is 1 to 255 letters, digits and hyphens")
    return text, hashlib.sha256(body).hexdigest()


class Once:
    """Finds the sandbox that a request with a key has made already; it is known while it lives."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._making: dict[tuple[str, str], asyncio.Future[Any]] = {}

    def _found(self, tenant: str, key: tuple[str, str]) -> SandboxRecord | None:
        for record in self._state.sandboxes.values():
            if record.tenant == tenant and record.request and record.request[0] == key[0]:
                if record.request[1] != key[1]:
                    raise Refusal(422, "this Idempotency-Key was used for another request")
                return record
        return None

    async def made(
        self,
        tenant: str,
        key: tuple[str, str],
        told: Callable[[SandboxRecord], Awaitable[T | None]],
        make: Callable[[], Awaitable[T]],
    ) -> T:
        """What was made with a key before, told again, or else what is made now.

        Two requests at once are one: the second waits for the first, and makes it itself if
        the first fails.

        Args:
            tenant: who asks.
            key: as `key_of` has it.
            told: tells of what was made; ``None`` if it has ended.
            make: makes it.

        Raises:
            Refusal: the key was used for something else.
        """

        async def told_or_made() -> T:
            record = self._found(tenant, key)
            answer = None if record is None else await told(record)
            return await make() if answer is None else answer

        name = (tenant, key[0])
        while (other := self._making.get(name)) is not None:
            await asyncio.wait({other})
        making: asyncio.Future[T] = asyncio.ensure_future(told_or_made())
        self._making[name] = making
        try:
            return await making
        finally:
            del self._making[name]
