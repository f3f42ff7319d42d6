"""Names that are being given: one request at a time makes what has a name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Naming"]


class Naming:
    """Holds names while what they are of is made."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def alone(self, identifier: str) -> AsyncIterator[None]:
        """Wait until nobody else makes what has this name."""
        lock = self._locks.setdefault(identifier, asyncio.Lock())
        self._users[identifier] = self._users.get(identifier, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[identifier] -= 1
            if not self._users[identifier]:
                del self._users[identifier], self._locks[identifier]
