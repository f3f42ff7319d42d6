"""One event loop in a thread of its own, on which the blocking facade runs its coroutines.

Works inside a running loop (notebooks), from any thread, and after a fork: the child gets a
loop of its own. Ctrl-C cancels what is being waited for and waits for its clean-up, which is
what anyio's portal does not do (docs/decisions/0008).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

__all__ = ["call", "iterate", "shut_down"]

T = TypeVar("T")

CANCEL_WAIT = 1.0
"""Seconds that Ctrl-C waits for the clean-up of what it cancelled."""


class _Portal:
    """A running loop and its thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, name="sandboxkit-portal", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self._end_tasks())
            self.loop.close()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


class _Call:
    """One coroutine on the loop, waited for by another thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._finished = threading.Event()
        self._task: asyncio.Task[Any] | None = None

    def run(self, loop: asyncio.AbstractEventLoop) -> Any:
        loop.call_soon_threadsafe(self._begin)
        try:
            self._finished.wait()
        except BaseException:
            loop.call_soon_threadsafe(self._cancel)
            self._finished.wait(CANCEL_WAIT)
            raise
        assert self._task is not None
        return self._task.result()

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # seen: it is raised in the calling thread, if that still waits
        self._finished.set()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


_lock = threading.Lock()
_portal: _Portal | None = None


def _current() -> _Portal:
    global _portal
    with _lock:
        if _portal is None:
            _portal = _Portal()
        return _portal


def shut_down() -> None:
    """Stop the loop's thread, if there is one; the next call starts another."""
    global _portal
    with _lock:
        ending, _portal = _portal, None
    if ending is not None:
        ending.stop()


def _forget() -> None:
    # The parent's thread does not exist in the child, and its loop must not be touched.
    global _lock, _portal
    _lock, _portal = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
atexit.register(shut_down)


def call(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Run a coroutine function on the portal's loop and wait for its result.

    An exception that arrives while waiting, such as ``KeyboardInterrupt``, cancels it there.

    Raises:
        RuntimeError: called from the portal's own loop, as a callback would; it would wait for
            itself.
    """
    portal = _current()
    if threading.current_thread() is portal.thread:
        raise RuntimeError(
            "a callback of the blocking Sandbox must not call its methods; "
            "collect what you need and call them afterwards, or use AsyncSandbox"
        )
    result: T = _Call(function(*args, **kwargs)).run(portal.loop)
    return result


def iterate(source: AsyncIterator[T]) -> Iterator[T]:
    """Iterate an asynchronous iterator from a thread, and close it at the end."""
    end = object()

    async def following() -> T | object:
        return await anext(source, end)

    async def closing() -> None:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()

    try:
        while (item := call(following)) is not end:
            yield item  # type: ignore[misc]
    finally:
        call(closing)
