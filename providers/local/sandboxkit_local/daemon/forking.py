"""Making several sandboxes from one: of its files, read once, and the order it was made by."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sandboxkit.errors import RateLimitError

from .registry import Sandbox
from .waiting import outlast

__all__ = ["Build", "fork"]

Build = Callable[[dict[str, Any], dict[str, Any], int], Awaitable[Sandbox]]
"""Makes a sandbox of an order, a template and an archive of files."""

_AT_ONCE = 4


async def fork(
    source: Sandbox,
    archive: int,
    build: Build,
    *,
    nonce: str,
    count: int,
    labels: Mapping[str, str],
    lifetime: float | None,
) -> list[Sandbox]:
    """Make `count` sandboxes like `source` with the files in `archive`, all or none.

    Raises:
        RateLimitError: this machine has no memory for so many; none was begun.
        SandboxError: one could not be made; none is left.
    """
    _check_memory(os.fstat(archive).st_size, count)
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Sandbox:
        async with room:
            order = _order(source, f"{nonce}-{number}", labels, lifetime)
            return await build(order, source.template, archive)

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await outlast(_end(tasks))
        raise


async def _end(tasks: list[asyncio.Task[Sandbox]]) -> None:
    """End what was made; each that is under way ends itself as it is cancelled."""
    await asyncio.wait(tasks)
    made = [task.result() for task in tasks if not task.cancelled() and task.exception() is None]
    for sandbox in made:
        sandbox.strike("killed")
    await asyncio.gather(*(asyncio.shield(sandbox.ended) for sandbox in made))


def _order(
    source: Sandbox, nonce: str, labels: Mapping[str, str], lifetime: float | None
) -> dict[str, Any]:
    order = source.order
    return {
        **order,
        "nonce": nonce,
        "info": {**order["info"], "labels": {**labels, "nonce": nonce}},
        "agent": {**order["agent"], "lifetime": lifetime},
    }


def _check_memory(size: int, count: int) -> None:
    # Files of sandboxes are in memory: better none than a machine that swaps, or kills.
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    available = int(fields["MemAvailable"].split()[0]) << 10
    if size * count > available:
        raise RateLimitError(
            f"{count} forks need {size * count >> 20} MiB of memory for their files, and"
            f" {available >> 20} MiB are left; none was made",
            hint="fork fewer, or remove what is large in the sandbox",
        )
