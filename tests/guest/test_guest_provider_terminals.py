"""Terminals through `GuestProvider` and a real guest, across broken connections."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.models import OutputChunk, TerminalSize
from sandboxkit.provider import (
    AttachRequest,
    Closed,
    Exited,
    Gap,
    ProcessEvent,
    ProcessStream,
    StartRequest,
)

from .client_unsandboxed import sandbox

SIZE = TerminalSize(24, 80)


class Follower:
    """Collects what a process reports, and waits for output."""

    def __init__(self, process: ProcessStream) -> None:
        self.text = b""
        self.events: list[ProcessEvent] = []
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._follow(process))

    async def _follow(self, process: ProcessStream) -> None:
        async for event in process.events():
            async with self._changed:
                self.events.append(event)
                if isinstance(event, OutputChunk):
                    assert event.offset == len(self.text)
                    self.text += event.data
                self._changed.notify_all()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: text in self.text)


def start(sid: str, *command: str) -> StartRequest:
    env = {"PS1": "$ ", "TERM": "dumb"}
    return StartRequest(sandbox_id=sid, command=command, env=env, terminal=SIZE, bound=False)


def test_a_terminal_outlives_the_connection() -> None:
    """Size and input go on where they were, and no byte of output is missing or twice."""

    async def main() -> None:
        async with sandbox() as (provider, sid):
            shell = await provider.start(start(sid, "bash", "--norc"))
            seen = Follower(shell)
            await shell.send_stdin(b"stty -echo; echo o''n\n")
            await seen.until(b"on\r\n")
            assert provider.cut()
            await shell.resize(TerminalSize(50, 132))
            await shell.send_stdin(b"stty size\n")
            await seen.until(b"50 132\r\n")
            assert provider.cut()
            await shell.send_stdin(b"seq 100000 | sha256sum; exit 6\n")
            await seen.task
            wanted = hashlib.sha256(b"".join(b"%d\n" % n for n in range(1, 100_001))).hexdigest()
            assert wanted.encode() in seen.text
            assert seen.events[-2:] == [Exited(6), Closed()]
            assert not [event for event in seen.events if isinstance(event, Gap)]

    asyncio.run(main())


def test_a_resize_that_was_lost_is_said_again() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            shell = await provider.start(start(sid, "bash", "--norc"))
            seen = Follower(shell)
            await seen.until(b"$ ")
            for transport in provider.transports:
                transport.pause_reading()
            resizing = asyncio.create_task(shell.resize(TerminalSize(41, 99)))
            provider.cut()
            await resizing
            await shell.send_stdin(b"stty size\n")
            await seen.until(b"41 99\r\n")
            await shell.terminate(0)

    asyncio.run(main())


def test_who_was_put_out_does_not_take_it_back() -> None:
    """After a break, the one that has it goes on; the other observes."""

    async def main() -> None:
        async with sandbox() as (provider, sid):
            first = await provider.start(start(sid, "bash", "--norc"))
            watching = Follower(first)
            request = AttachRequest(sandbox_id=sid, pid=first.pid, own=True)
            second = await provider.attach(request)
            seen = Follower(second)
            await seen.until(b"$ ")
            await second.send_stdin(b"echo o''ne\n")
            await watching.until(b"one\r\n")
            provider.cut()
            await second.send_stdin(b"echo t''wo\n")
            await watching.until(b"two\r\n")
            await seen.until(b"two\r\n")
            with pytest.raises(BrokenPipeError):
                await first.send_stdin(b"x")
            with pytest.raises(InvalidRequestError):
                await first.resize(SIZE)
            await second.send_stdin(b"exit\n")
            await asyncio.gather(watching.task, seen.task)

    asyncio.run(main())


def test_pipes_have_no_size() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(StartRequest(sandbox_id=sid, command="sleep 30"))
            found = await provider.attach(AttachRequest(sandbox_id=sid, pid=process.pid, own=True))
            for one in (process, found):
                with pytest.raises(UnsupportedError):
                    await one.resize(SIZE)

    asyncio.run(main())
