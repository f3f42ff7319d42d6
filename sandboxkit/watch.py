"""Watching a directory of a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Self

from .errors import InvalidRequestError
from .models import FileEvent
from .provider import WatchStream
from .units import Duration, parse_duration

__all__ = ["AsyncWatch"]


class AsyncWatch:
    """What happens in a directory, as it happens; iterate over it.

    It is set when an ``async with`` block begins, else when the first event is asked for. Nothing
    that happens from then on is missed, or an event of the kind ``overflow`` says so. It ends when
    it is closed, and when the directory itself is removed.

    While nobody takes its events the sandbox keeps the first thousands of them and then none:
    the memory it takes does not grow.
    """

    def __init__(
        self, begin: Callable[[], Awaitable[WatchStream]], opened: set[AsyncWatch]
    ) -> None:
        self._begin = begin
        self._opened = opened
        self._setting = asyncio.Lock()
        self._stream: WatchStream | None = None
        self._events: AsyncIterator[FileEvent] | None = None
        self._pending: asyncio.Future[FileEvent | None] | None = None
        self._entered = False
        self._closed = False

    async def next(self, timeout: Duration | None = None) -> FileEvent | None:
        """The next event; ``None`` when the watch has ended.

        Args:
            timeout: how long to wait; nothing is lost when it passes.

        Raises:
            TimeoutError: nothing happened within `timeout`.
            PathNotFoundError: there is no such directory.
            TransportError: the watch is lost.
            SandboxNotFoundError: the sandbox has ended.
            RateLimitError: there are more directories than can be watched.
        """
        seconds = None if timeout is None else parse_duration(timeout, "watch: timeout")
        async with asyncio.timeout(seconds):
            while not self._closed:
                events = await self._set()
                # A future of its own, which waiting in vain or being cancelled does not end.
                if self._pending is None:
                    self._pending = asyncio.ensure_future(_next(events))
                    self._pending.add_done_callback(_heard)
                pending = self._pending
                await asyncio.wait({pending})
                if self._pending is pending:  # else another reader has taken it
                    self._pending = None
                    return pending.result()
        return None

    async def close(self) -> None:
        """Stop watching; whoever waits for an event finds the end. Idempotent."""
        self._closed = True
        self._opened.discard(self)
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        async with self._setting:
            stream, self._stream = self._stream, None
            if stream is not None:
                await stream.aclose()

    async def _set(self) -> AsyncIterator[FileEvent]:
        async with self._setting:
            if self._closed:
                raise InvalidRequestError(
                    "watch: it was closed; files.watch(...) sets another", op="watch"
                )
            if self._events is None:
                self._stream = await self._begin()
                self._opened.add(self)
                self._events = self._stream.events()
            return self._events

    async def _enter(self) -> Self:
        await self._set()
        self._entered = True
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._enter().__await__()

    async def __aenter__(self) -> Self:
        return await self._enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[FileEvent]:
        try:
            while (event := await self.next()) is not None:
                yield event
        finally:
            if not self._entered:
                await self.close()


def _heard(pending: asyncio.Future[FileEvent | None]) -> None:
    """Let asyncio not complain of an end that nobody asks for: a watch may just be forgotten."""
    if not pending.cancelled():
        pending.exception()


async def _next(events: AsyncIterator[FileEvent]) -> FileEvent | None:
    return await anext(events, None)
