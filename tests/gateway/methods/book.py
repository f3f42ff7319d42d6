"""What was shown of each method: it was called, and its effect was seen by another way."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable
from typing import Any

import pytest

WORKS = "works"
REFUSED = re.compile(r"501[^A-Za-z0-9]+(.*)", re.DOTALL)
PARTS = {"files", "commands", "pty", "git"}


class Book:
    """The rows of one SDK.

    Attributes:
        rows: what was shown, by the method's name.
        called: the methods that were called at all.
    """

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.called: set[str] = set()

    def works(self, name: str, seen: object) -> None:
        """Write that a method does its work; `seen` is what another way tells of its effect."""
        assert name in self.called, f"{name} was not called"
        assert seen, f"{name} had no effect that another way sees"
        self.rows[name] = WORKS

    async def refused(self, name: str, doing: Awaitable[Any]) -> None:
        """Write that a method is answered with 501, and why."""
        with pytest.raises(Exception, match=REFUSED) as refusal:
            await doing
        found = REFUSED.search(str(refusal.value))
        assert found
        self.rows[name] = f"501: {found[1].strip()}"


class Traced:
    """An object of the SDK's that notes which of its methods are called.

    Every call is awaited, whether the SDK is the blocking or the asyncio one.
    """

    def __init__(self, book: Book, name: str, target: Any) -> None:
        self.book = book
        self.name = name
        self.target = target

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self.target, attribute)
        name = f"{self.name}.{attribute}"
        if attribute in PARTS:
            return Traced(self.book, name, value)
        if not callable(value):
            return value

        async def call(*args: Any, **options: Any) -> Any:
            self.book.called.add(name)
            result = value(*args, **options)
            return self._wrapped(await result if inspect.isawaitable(result) else result)

        return call

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._wrapped(one) for one in result]
        kind = type(result).__name__.removeprefix("Async")
        if kind == "Sandbox" or kind.endswith(("Handle", "Paginator")) or kind == "Volume":
            return Traced(self.book, kind, result)
        return result
