"""Blocking work off the event loop, in threads that nothing ever waits for at the end.

A pool would be joined when the loop or the process ends, and a read that never returns (a pipe
nobody writes to) would then hang the exit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a daemon thread of its own and wait for its result.

    Cancelling this stops waiting; the thread goes on until the function returns.
    """
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

    threading.Thread(target=work, name="sandboxkit-work", daemon=True).start()
    return await future
