"""A program that asks E2B, or what speaks its protocol, for sandboxes: by us or by its own SDK.

    python -m sandboxkit_bench.contenders.remote sandboxkit|sdk

Each line of its standard input is a command for a new sandbox; each line of its output is what came
of one, in JSON: seconds to the sandbox, seconds to the end of the command, seconds of processor
time, and the output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["main"]

Attempt = Callable[[str], Awaitable[dict[str, Any]]]


async def by_us(command: str) -> dict[str, Any]:
    """With sandboxkit, by the profile of this name in the directory that we run in."""
    from sandboxkit import AsyncSandbox

    begun, worked = time.perf_counter(), time.process_time()
    sandbox = await AsyncSandbox.create("bench", lifetime="10m")
    made = time.perf_counter()
    result = await sandbox.run(command)
    ended, done = time.perf_counter(), time.process_time()
    await sandbox.kill()
    await sandbox.close()
    return _told(begun, made, ended, done - worked, result.stdout)


async def by_sdk(command: str) -> dict[str, Any]:
    """With E2B's own SDK."""
    import e2b

    begun, worked = time.perf_counter(), time.process_time()
    sandbox = await e2b.AsyncSandbox.create(timeout=600)
    made = time.perf_counter()
    result = await sandbox.commands.run(command)
    ended, done = time.perf_counter(), time.process_time()
    await sandbox.kill()
    return _told(begun, made, ended, done - worked, result.stdout)


def _told(begun: float, made: float, ended: float, cpu: float, output: str) -> dict[str, Any]:
    return {"made": made - begun, "ended": ended - begun, "cpu": cpu, "output": output}


def failures(way: str) -> tuple[type[Exception], ...]:
    """What an attempt may end in besides; anything else is a fault of this program, and ends it."""
    if way == "sandboxkit":
        from sandboxkit import SandboxError

        return (SandboxError,)
    import e2b
    import httpx

    return e2b.SandboxException, httpx.HTTPError, OSError


async def answer(attempt: Attempt, failed: tuple[type[Exception], ...]) -> None:
    """Line after line."""
    for line in sys.stdin:
        try:
            told = await attempt(line.strip())
        except failed as error:
            told = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(told), flush=True)


def main() -> None:
    """Run the program."""
    way = sys.argv[1]
    asyncio.run(answer({"sandboxkit": by_us, "sdk": by_sdk}[way], failures(way)))


if __name__ == "__main__":
    main()
