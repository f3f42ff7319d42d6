"""Cells of code through `GuestProvider` and a real guest."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandboxkit.errors import ExecLostError, NotFoundError
from sandboxkit.provider import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    CodeStream,
    ContextRequest,
    CreateContextRequest,
    KillRequest,
    RunCodeRequest,
    SandboxRequest,
)

from .client_unsandboxed import UnsandboxedGuestProvider, sandbox


async def collect(cell: CodeStream) -> list[CodeEvent]:
    return [event async for event in cell.events()]


async def run(provider: UnsandboxedGuestProvider, sid: str, code: str) -> list[CodeEvent]:
    return await collect(await provider.run_code(RunCodeRequest(sandbox_id=sid, code=code)))


def test_output_results_and_state() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            got = await run(provider, sid, "x = 20\nprint('hi')\nx + 1")
            assert CodeOutput("stdout", b"hi\n") in got
            (result,) = [event.result for event in got if isinstance(event, CodeResult)]
            assert (result.text, result.is_main_result) == ("21", True)
            assert isinstance(got[-1], CodeEnded)
            got = await run(provider, sid, "x + undefined")
            (raised,) = [event.error for event in got if isinstance(event, CodeRaised)]
            assert raised.name == "NameError"
            got = await run(provider, sid, "'y' * 3_000_000")
            (result,) = [event.result for event in got if isinstance(event, CodeResult)]
            assert result.text == repr("y" * 3_000_000)

    asyncio.run(main())


def test_interrupt_ends_a_cell() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = RunCodeRequest(sandbox_id=sid, code="print(1)\nwhile True: pass")
            cell = await provider.run_code(request)
            events = cell.events()
            await anext(events)
            began = time.monotonic()
            await cell.interrupt()
            assert time.monotonic() - began < 1
            await cell.detach()
            assert await run(provider, sid, "print(2)")

    asyncio.run(main())


def test_a_cell_of_a_killed_sandbox_is_lost_with_the_cause() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = RunCodeRequest(sandbox_id=sid, code="print(1)\nimport time; time.sleep(60)")
            cell = await provider.run_code(request)
            events = cell.events()
            await anext(events)
            await provider.kill(KillRequest(sandbox_id=sid))
            with pytest.raises(ExecLostError) as caught:
                await anext(events)
            assert caught.value.cause == "killed"

    asyncio.run(main())


def test_contexts() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            made = await provider.create_context(CreateContextRequest(sandbox_id=sid, cwd="/tmp"))
            assert (made.language, made.cwd) == ("python", "/tmp")
            listed = await provider.list_contexts(SandboxRequest(sandbox_id=sid))
            assert made in listed
            where = ContextRequest(sandbox_id=sid, context=made.id)
            assert await provider.restart_context(where) == made
            await provider.remove_context(where)
            with pytest.raises(NotFoundError):
                await provider.restart_context(where)

    asyncio.run(main())
