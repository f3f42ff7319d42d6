"""One event loop in a thread of its own, on which the blocking facade runs its coroutines.

Works inside a running loop (notebooks), from any thread, and after a fork: the child gets a
loop of its own. Ctrl-C cancels what is being waited for and waits for its clean-up, which is
what anyio's portal does not do (docs/decisions/0008).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from .threads import in_thread

__all__ = ["call", "in_caller", "iterate", "shut_down"]

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
    """One coroutine on the loop, waited for by another thread, which runs its callbacks."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._task: asyncio.Task[Any] | None = None
        self.finished = False

    def run(self, loop: asyncio.AbstractEventLoop) -> Any:
        loop.call_soon_threadsafe(self._begin)
        try:
            while (work := self._work.get()) is not None:
                work()
        except BaseException:
            loop.call_soon_threadsafe(self._cancel)
            self._wait_for_clean_up()
            raise
        assert self._task is not None
        return self._task.result()

    def _wait_for_clean_up(self) -> None:
        deadline = time.monotonic() + CANCEL_WAIT
        try:
            while self._work.get(timeout=max(0.0, deadline - time.monotonic())) is not None:
                continue  # a callback of what is being cancelled
        except queue.Empty:
            return

    async def serve(self, callback: Callable[[Any], Any], value: Any) -> Any:
        """Have the waiting thread call a callback."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(outcome: Callable[[Any], None], content: Any) -> None:
            if not future.done():
                outcome(content)

        def work() -> None:
            try:
                result = callback(value)
            except Exception as error:
                # The coroutine gets it, cleans up, and raises it to the thread that runs this.
                loop.call_soon_threadsafe(settle, future.set_exception, error)
                if isinstance(error, StopIteration):
                    raise
            else:
                loop.call_soon_threadsafe(settle, future.set_result, result)

        self._work.put(work)
        return await future

    def _begin(self) -> None:
        token = _caller.set(self)
        self._task = asyncio.ensure_future(self._coroutine)
        _caller.reset(token)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # seen: it is raised in the calling thread, if that still waits
        self.finished = True
        self._work.put(None)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


_caller: ContextVar[_Call | None] = ContextVar("sandboxkit_caller", default=None)


async def in_caller(callback: Callable[[Any], Any], value: Any) -> Any:
    """Call a callback in the thread that waits for this coroutine, else in one of its own.

    It may block, and use the sandbox: that thread has nothing else to do.
    """
    caller = _caller.get()
    if caller is None or caller.finished:
        return await in_thread(callback, value)
    return await caller.serve(callback, value)


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
        RuntimeError: called from the portal's own loop, where it would wait for itself.
    """
    portal = _current()
    if threading.current_thread() is portal.thread:
        raise RuntimeError(
            "the blocking Sandbox was called from an async callback of its own, where it would "
            "wait for itself; use a plain function, or AsyncSandbox"
        )
    result: T = _Call(function(*args, **kwargs)).run(portal.loop)
    return result


_closing: set[asyncio.Task[None]] = set()


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
        portal = _portal
        if portal is not None and threading.current_thread() is portal.thread:
            # Abandoned, and found as garbage by the loop's own thread: it cannot wait for itself.
            task = portal.loop.create_task(closing())
            _closing.add(task)
            task.add_done_callback(_closing.discard)
        else:
            call(closing)
