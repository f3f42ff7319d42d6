"""A watch's end that nobody asks for."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandboxkit.errors import TransportError
from sandboxkit.models import FileEvent
from sandboxkit.provider import WatchStream
from sandboxkit.watch import AsyncWatch


class Lost(WatchStream):
    """Is lost when it is told so."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def events(self) -> AsyncIterator[FileEvent]:
        await self.end.wait()
        if self.end.is_set():
            raise TransportError("it is lost")
        yield FileEvent(kind="created", path="/a", type="file", target=None)

    async def aclose(self) -> None:
        self.end.set()


def test_a_watch_lost_while_nobody_asks_complains_nowhere() -> None:
    async def scenario() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        stream = Lost()

        async def begin() -> WatchStream:
            return stream

        watch = AsyncWatch(begin, set())
        with pytest.raises(TimeoutError):
            await watch.next(0.01)
        pending = watch._pending
        assert pending is not None
        stream.end.set()
        await asyncio.wait({pending})
        del pending, watch
        gc.collect()
        assert complaints == []

    asyncio.run(scenario())
