"""The engine's own decisions, with a process whose every event is chosen by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from sandboxkit import execution
from sandboxkit.errors import CommandTimeoutError, ExecLostError, TransportError
from sandboxkit.execution import run_command
from sandboxkit.models import CommandResult, OutputChunk
from sandboxkit.provider import Closed, Exited, ProcessEvent, ProcessStream, StartRequest


class Scripted(ProcessStream):
    """Yields the given events; a number is a pause in seconds, an exception is raised."""

    pid = 7

    def __init__(self, *script: ProcessEvent | float | BaseException) -> None:
        self.script = script
        self.terminated = 0
        self.detached = 0
        self.stdin = b""

    async def events(self) -> AsyncIterator[ProcessEvent]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step

    async def send_stdin(self, data: bytes) -> None:
        self.stdin += data

    async def close_stdin(self) -> None:
        self.stdin += b"<end>"

    async def signal(self, signum: int) -> None:
        raise AssertionError("the engine only terminates")

    async def terminate(self, grace: float = 0.5) -> None:
        self.terminated += 1

    async def detach(self) -> None:
        self.detached += 1


def out(data: bytes, offset: int = 0) -> OutputChunk:
    return OutputChunk("stdout", data, offset)


def run(process: Scripted, **options: object) -> CommandResult:
    timeout = options.pop("timeout", None)

    async def start(request: StartRequest) -> ProcessStream:
        return process

    request = StartRequest(sandbox_id="s", command="x", timeout=timeout)
    return asyncio.run(run_command(start, request, **options))


def test_facts_become_a_result() -> None:
    process = Scripted(out(b"a"), Exited(3), Closed())
    result = run(process)
    assert (result.exit_code, result.signal, result.stdout) == (3, None, "a")
    assert (process.terminated, process.detached) == (0, 1)
    assert run(Scripted(Exited(None, 9), Closed())).exit_code == 137
    assert run(Scripted(Exited(None, 9, oom=True), Closed())).oom


def test_output_after_the_exit_is_taken_for_a_moment_only() -> None:
    began = time.monotonic()
    result = run(Scripted(Exited(0), 0.01, out(b"late"), 30.0, out(b"never")))
    assert result.stdout == "late"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "script", [(), (out(b"part"),), (out(b"part"), Closed()), (out(b"part"), Exited(None, None))]
)
def test_no_terminal_event_is_never_a_result(script: tuple[ProcessEvent, ...]) -> None:
    with pytest.raises(ExecLostError) as caught:
        run(Scripted(*script))
    assert caught.value.outcome == "unknown"
    assert caught.value.partial.stdout == ("part" if script else "")


def test_a_lost_stream_carries_what_had_come() -> None:
    lost = ExecLostError("gone", cause="oom")
    with pytest.raises(ExecLostError) as caught:
        run(Scripted(out(b"part"), lost))
    assert caught.value.partial.stdout == "part"
    assert caught.value.cause == "oom"


def test_the_host_steps_in_where_the_sandbox_does_not(monkeypatch) -> None:
    monkeypatch.setattr(execution, "GUARD", 0.1)
    process = Scripted(out(b"part"), 30.0)
    with pytest.raises(CommandTimeoutError) as caught:
        run(process, timeout=0.1)
    assert process.terminated == 1
    assert caught.value.outcome == "unknown"
    assert caught.value.result.stdout == "part"


def test_a_callbacks_own_timeout_is_not_the_commands() -> None:
    def failing(_: str) -> None:
        raise TimeoutError("mine")

    process = Scripted(out(b"x"), Exited(0), Closed())
    with pytest.raises(TimeoutError, match="mine") as caught:
        run(process, on_stdout=failing, timeout=5)
    assert not isinstance(caught.value, CommandTimeoutError)
    assert process.terminated == 1


def test_cancelling_while_starting_ends_what_starts() -> None:
    process = Scripted(30.0)

    async def main() -> None:
        started = asyncio.Event()

        async def start(request: StartRequest) -> ProcessStream:
            started.set()
            await asyncio.sleep(0.2)
            return process

        request = StartRequest(sandbox_id="s", command="x")
        task = asyncio.create_task(run_command(start, request))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert process.terminated == 1


def test_cancel_returns_though_the_sandbox_does_not_answer() -> None:
    class Deaf(Scripted):
        async def terminate(self, grace: float = 0.5) -> None:
            await asyncio.sleep(3)

    async def main() -> float:
        async def start(request: StartRequest) -> ProcessStream:
            return Deaf(30.0)

        request = StartRequest(sandbox_id="s", command="x")
        task = asyncio.create_task(run_command(start, request))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(main()) < 1.5


def test_a_failing_stdin_source_ends_the_command() -> None:
    class Waits(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.ended = asyncio.Event()

        async def events(self) -> AsyncIterator[ProcessEvent]:
            await self.ended.wait()
            yield Exited(None, 15)
            yield Closed()

        async def terminate(self, grace: float = 0.5) -> None:
            self.ended.set()

    def source():
        yield b"x"
        raise ZeroDivisionError

    async def main() -> None:
        process = Waits()

        async def start(request: StartRequest) -> ProcessStream:
            assert request.stdin
            return process

        with pytest.raises(ZeroDivisionError):
            await run_command(start, StartRequest(sandbox_id="s", command="x"), stdin=source())

    asyncio.run(main())


def test_errors_of_start_pass_unchanged() -> None:
    async def start(request: StartRequest) -> ProcessStream:
        raise TransportError("no way", outcome="not_started")

    with pytest.raises(TransportError) as caught:
        asyncio.run(run_command(start, StartRequest(sandbox_id="s", command="x")))
    assert caught.value.outcome == "not_started"


def test_a_stream_lost_after_the_exit_changes_nothing() -> None:
    lost = ExecLostError("gone", cause="transport")
    result = run(Scripted(out(b"all"), Exited(5), lost))
    assert (result.exit_code, result.stdout) == (5, "all")
