"""The loop thread of the blocking face."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator

from sandboxkit.portal import call, iterate


def test_an_abandoned_iterator_found_as_garbage_by_the_loop_is_closed() -> None:
    """That thread cannot wait for itself; a complaint there would be nobody's to hear."""
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(threading.current_thread().name)

    async def collect() -> None:
        gc.collect()

    iterator = iterate(source())
    next(iterator)
    cycle: list[object] = [iterator]
    cycle.append(cycle)
    del iterator, cycle
    call(collect)
    call(collect)
    assert closed == ["sandboxkit-portal"]
