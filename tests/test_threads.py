"""What is opened in another thread is closed, though nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sandboxkit.threads import Worker


def test_what_was_being_opened_as_its_caller_was_cancelled_is_closed() -> None:
    async def scenario() -> None:
        begun, may_go_on, closed = threading.Event(), threading.Event(), threading.Event()

        class Opened:
            def __init__(self) -> None:
                begun.set()
                may_go_on.wait(10)

            def close(self) -> None:
                closed.set()

        with Worker() as worker:
            opening = asyncio.ensure_future(worker.open(Opened))
            assert await asyncio.to_thread(begun.wait, 10)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            may_go_on.set()
        assert await asyncio.to_thread(closed.wait, 10)

    asyncio.run(scenario())


def test_what_could_not_be_opened_is_not_closed() -> None:
    async def scenario() -> None:
        with Worker() as worker:
            with pytest.raises(FileNotFoundError):
                await worker.open(open, "/no/such/file")
            assert await worker.do(len, "it goes on") == 10

    asyncio.run(scenario())
