"""What is kept of a process's output for its readers, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib

from sandboxkit.backlog import WINDOW, Backlog
from sandboxkit.models import OutputChunk


def chunk(offset: int, size: int) -> OutputChunk:
    return OutputChunk("stdout", bytes(size), offset)


async def taken(backlog: Backlog) -> list[int]:
    """The offsets of all that there is to the end."""
    found = []
    while backlog.has_output or not backlog.over:
        await backlog.something()
        one = backlog.take()
        if one is not None:
            found.append(one.offset)
    return found


async def _nobody_reads() -> list[int]:
    backlog = Backlog(limit=10)
    for number in range(5):
        await backlog.put(chunk(number * 4, 4))
    backlog.end()
    return await taken(backlog)


def test_for_nobody_the_last_of_it_is_kept() -> None:
    assert asyncio.run(_nobody_reads()) == [12, 16]


async def _two_readers() -> list[int]:
    backlog = Backlog(limit=10)
    with backlog.reading():
        readers = [asyncio.create_task(taken(backlog)) for _ in range(2)]
        await asyncio.sleep(0)
        for number in range(5):
            await backlog.put(chunk(number, 1))
        backlog.end()
        found = await asyncio.gather(*readers)
        return sorted([*found[0], *found[1]])


def test_readers_share_it_and_both_come_to_its_end() -> None:
    assert asyncio.run(_two_readers()) == [0, 1, 2, 3, 4]


async def _lagging() -> list[bool]:
    backlog = Backlog(limit=10)
    reading = contextlib.ExitStack()
    reading.enter_context(backlog.reading())
    writing = asyncio.create_task(backlog.put(chunk(0, WINDOW + 1)))
    await asyncio.sleep(0)
    waits = not writing.done()
    reading.close()
    await asyncio.wait_for(writing, 5)
    return [waits, backlog.has_output]


def test_who_writes_waits_for_a_reader_that_lags_until_it_goes() -> None:
    assert asyncio.run(_lagging()) == [True, False]
