"""Names of which one request at a time makes, changes or ends what has them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Naming"]


class Naming:
    """Holds names while something is done to what has them."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    def is_held(self, identifier: str) -> bool:
        """Whether somebody holds this name, or waits for it."""
        return identifier in self._locks

    @contextlib.asynccontextmanager
    async def alone(self, identifier: str) -> AsyncIterator[None]:
        """Wait until nobody else does anything to what has this name."""
        lock = self._locks.setdefault(identifier, asyncio.Lock())
        self._users[identifier] = self._users.get(identifier, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[identifier] -= 1
            if not self._users[identifier]:
                del self._users[identifier], self._locks[identifier]
