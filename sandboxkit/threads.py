"""Blocking work off the event loop, in threads that nothing ever waits for at the end.

A pool would be joined when the loop or the process ends, and a read that never returns (a pipe
nobody writes to) would then hang the exit.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

__all__ = ["Worker", "in_thread"]

T = TypeVar("T")


class _Closable(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=_Closable)


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a daemon thread of its own and wait for its result.

    Cancelling this stops waiting; the thread goes on until the function returns.
    """
    future, work = _prepared(function, *args)
    threading.Thread(target=work, name="sandboxkit-work", daemon=True).start()
    return await future


class Worker:
    """A daemon thread that does one thing after another; much cheaper than a thread for each.

    What is used by one call is not yet used by the next. Leaving the ``with`` block lets the thread
    end when all that was asked for is done, and does not wait for that.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="sandboxkit-worker", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._work.put(None)

    async def do(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function there and wait for its result.

        Cancelling this stops waiting; the function is called all the same.
        """
        future, work = _prepared(function, *args)
        self._work.put(work)
        return await future

    async def open(self, function: Callable[..., C], *args: Any) -> C:
        """Open something there; if this is cancelled meanwhile, what was opened is closed again."""
        opened: list[C] = []

        def keep() -> C:
            opened.append(function(*args))
            return opened[0]

        def let_go() -> None:
            for one in opened:
                one.close()

        try:
            return await self.do(keep)
        except asyncio.CancelledError:
            self._work.put(let_go)  # after the opening, which goes on
            raise

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def _prepared(
    function: Callable[..., T], *args: Any
) -> tuple[asyncio.Future[T], Callable[[], None]]:
    """A future, and what another thread has to call so that it gets the function's result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not future.done():
            outcome()

    def tell(outcome: Callable[[], None]) -> None:
        if not loop.is_closed():  # else nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    def work() -> None:
        try:
            result = function(*args)
        except StopIteration:
            tell(lambda: future.set_exception(RuntimeError("the function raised StopIteration")))
        except BaseException as error:
            failure = error
            tell(lambda: future.set_exception(failure))
            if not isinstance(error, Exception):
                raise
        else:
            tell(lambda: future.set_result(result))

    return future, work
