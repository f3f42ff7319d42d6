"""The contract's engine for commands: deadlines, cancellation, drain, bounds and exit codes.

Providers report facts (`provider.ProcessStream`); what they mean is decided here, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from .errors import CommandTimeoutError, ExecLostError, SandboxError
from .models import CommandOutput, CommandResult, OutputChunk
from .output import Callback, OutputCollector
from .provider import (
    Closed,
    Exited,
    Paused,
    ProcessEvent,
    ProcessStream,
    Resumed,
    StartRequest,
)
from .stdin import Stdin, feed

__all__ = ["DRAIN", "GUARD", "command_text", "end_bounded", "finish", "run_command", "settle"]

DRAIN = 0.05
"""Seconds in which output may still follow an exit before `run` returns."""

CANCEL_GRACE = 0.3
"""Seconds between the polite and the final signal when the caller has given up."""

CANCEL_BOUND = 0.9
"""Seconds within which a cancelled call returns, whatever the sandbox does."""

GUARD = 2.0
"""Seconds that the sandbox may be late in enforcing a timeout before the host steps in."""


def command_text(command: str | tuple[str, ...]) -> str:
    """A command for messages: what was given, shortened."""
    text = command if isinstance(command, str) else " ".join(command)
    return text if len(text) <= 120 else text[:117] + "..."


async def run_command(
    start: Callable[[StartRequest], Awaitable[ProcessStream]],
    request: StartRequest,
    *,
    stdin: Stdin = None,
    max_output: int = 16 << 20,
    on_stdout: Callback | None = None,
    on_stderr: Callback | None = None,
) -> CommandResult:
    """Start a command, see it to its end, and say how it ended.

    Args:
        start: the provider's.
        request: what to run.
        stdin: fed to it as it reads.
        max_output: bytes kept of each stream, the last ones.
        on_stdout: gets decoded text as it arrives; may be async; one that raises kills the command.
        on_stderr: likewise.

    Raises:
        CommandTimeoutError: the timeout ended it; with the partial output.
        ExecLostError: its end cannot be known any more; with the partial output.
    """
    collector = OutputCollector(max_output, on_stdout, on_stderr)
    began = time.monotonic()

    def output() -> CommandOutput:
        return collector.output(request, time.monotonic() - began)

    process = await _started(start, replace(request, stdin=stdin is not None))
    feeding = asyncio.create_task(feed(process, stdin)) if stdin is not None else None
    if feeding is not None:
        feeding.add_done_callback(lambda task: _end_if_failed(task, process))
    try:
        exited = await _until_exit(process, request, collector)
        if feeding is not None and feeding.done():
            feeding.result()  # the source itself failed: the caller's error, not the command's
        await collector.finish()
    except BaseException as error:
        await end_bounded(process)
        if isinstance(error, _GuardExpiredError):
            raise _timeout_error(request, output(), known=False) from None
        if isinstance(error, ExecLostError):
            error.partial = output()
        raise
    finally:
        if feeding is not None:
            feeding.cancel()
        await process.detach()
    return finish(exited, request, output())


class _GuardExpiredError(Exception):
    """The sandbox did not enforce the timeout in time."""


def _end_if_failed(task: asyncio.Task[None], process: ProcessStream) -> None:
    if not task.cancelled() and task.exception() is not None:
        _keep(asyncio.ensure_future(_end(process)))


def finish(exited: Exited, request: StartRequest, output: CommandOutput) -> CommandResult:
    """Turn the facts of an exit into a result.

    Raises:
        CommandTimeoutError: the timeout ended the command.
    """
    if exited.code is not None:
        code = exited.code
    elif exited.signal is not None:
        code = 128 + exited.signal
    else:
        raise ExecLostError(
            "the provider reported an exit without a status or a signal",
            cause="transport",
            partial=output,
            op="run",
        )
    result = CommandResult(
        exit_code=code,
        signal=exited.signal,
        oom=exited.oom,
        timed_out=exited.timed_out,
        stdout_bytes=output.stdout_bytes,
        stderr_bytes=output.stderr_bytes,
        stdout_total=output.stdout_total,
        stderr_total=output.stderr_total,
        duration=output.duration,
        applied_timeout=output.applied_timeout,
        command=output.command,
    )
    if exited.timed_out:
        raise _timeout_error(request, result, known=True)
    return result


def _timeout_error(
    request: StartRequest, result: CommandOutput, *, known: bool
) -> CommandTimeoutError:
    how = "" if known else "; the sandbox did not confirm its end"
    return CommandTimeoutError(
        f"{command_text(request.command)!r} did not end within {request.timeout:g} s{how}",
        result=result,
        op="run",
        sandbox_id=request.sandbox_id,
        outcome="completed" if known else "unknown",
    )


async def _started(
    start: Callable[[StartRequest], Awaitable[ProcessStream]], request: StartRequest
) -> ProcessStream:
    # A cancel while the request is on its way must still find and end what it started.
    starting = asyncio.ensure_future(start(request))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await settle(_end_when_started(starting))
        raise


async def _end_when_started(starting: asyncio.Future[ProcessStream]) -> None:
    try:
        process = await starting
    except SandboxError:
        return  # it never started: nothing to end
    await _end(process)


async def _until_exit(
    process: ProcessStream, request: StartRequest, collector: OutputCollector
) -> Exited:
    events = process.events()
    deadline = None if request.timeout is None else request.timeout + request.grace + GUARD
    exited = await _next_exit(events, collector, deadline)
    drain = asyncio.timeout(DRAIN)
    try:
        async with drain:
            await _collect(events, collector)
    except TimeoutError:
        if not drain.expired():
            raise
        # A background child holds the pipe: the guest goes on draining it.
    return exited


async def _next_exit(
    events: AsyncIterator[ProcessEvent], collector: OutputCollector, deadline: float | None
) -> Exited:
    latest = None if deadline is None else asyncio.get_running_loop().time() + deadline
    paused = False
    while (event := await _next_event(events, None if paused else latest)) is not None:
        if isinstance(event, OutputChunk):
            await collector.add(event)
        elif isinstance(event, Paused):
            paused = True
        elif isinstance(event, Resumed):
            paused = False
            latest = None if latest is None else latest + event.after
        elif isinstance(event, Exited):
            return event
        elif isinstance(event, Closed):
            break
    raise ExecLostError("the process's events ended without its exit", cause="transport", op="run")


async def _next_event(
    events: AsyncIterator[ProcessEvent], latest: float | None
) -> ProcessEvent | None:
    """The next event, or ``None`` at their end; the deadline is not for the caller's callbacks."""
    if latest is None:
        return await anext(events, None)
    limit = asyncio.timeout_at(max(latest, asyncio.get_running_loop().time() + DRAIN))
    try:
        async with limit:
            return await anext(events, None)
    except TimeoutError:
        if limit.expired():
            raise _GuardExpiredError from None
        raise


async def _collect(events: AsyncIterator[ProcessEvent], collector: OutputCollector) -> None:
    try:
        async for event in events:
            if isinstance(event, OutputChunk):
                await collector.add(event)
            elif isinstance(event, Closed):
                return
    except ExecLostError:
        return  # how it ended is known, and all that it wrote itself came before that


async def end_bounded(process: ProcessStream) -> None:
    """End a process and its tree though the caller is being cancelled; at most a second."""
    await settle(_end(process))


async def _end(process: ProcessStream) -> None:
    try:
        await process.terminate(CANCEL_GRACE)
    except SandboxError:
        return  # the sandbox is gone, and the process with it


async def settle(cleaning: Awaitable[None]) -> None:
    """Let a clean-up finish though the caller is being cancelled; at most `CANCEL_BOUND`."""
    task = asyncio.ensure_future(cleaning)
    deadline = time.monotonic() + CANCEL_BOUND
    while not task.done():
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            _keep(task)
            return
        try:
            await asyncio.wait({task}, timeout=remaining)
        except asyncio.CancelledError:
            continue  # cancelled again: the first cancel is already being honoured


def _keep(task: asyncio.Future[None]) -> None:
    _background.add(task)
    task.add_done_callback(_background.discard)


_background: set[asyncio.Future[None]] = set()
