"""The contract's engine for code: one cell from request to `Execution`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .errors import CodeTimeoutError, ExecLostError, SandboxError
from .execution import GUARD, settle
from .models import CodeError, Execution, Logs, Result
from .output import Callback, Tail, TextFeed
from .provider import (
    CodeEnded,
    CodeOutput,
    CodeRaised,
    CodeResult,
    CodeStream,
    Paused,
    Resumed,
    RunCodeRequest,
)

__all__ = ["ErrorCallback", "ResultCallback", "run_cell"]

ResultCallback = Callable[[Result], Awaitable[None] | None]
ErrorCallback = Callable[[CodeError], Awaitable[None] | None]

LOG_LIMIT = 64 << 20
"""Bytes kept of each stream of a cell, the last ones."""


class _Cell:
    """What one cell has produced until now."""

    def __init__(
        self,
        on_stdout: Callback | None,
        on_stderr: Callback | None,
        on_result: ResultCallback | None,
        on_error: ErrorCallback | None,
    ) -> None:
        self.results: list[Result] = []
        self.error: CodeError | None = None
        self.ended: CodeEnded | None = None
        self._began = time.monotonic()
        self._tails = {"stdout": Tail(LOG_LIMIT), "stderr": Tail(LOG_LIMIT)}
        pairs = (("stdout", on_stdout), ("stderr", on_stderr))
        self._feeds = {name: TextFeed(callback) for name, callback in pairs if callback}
        self._on_result = on_result
        self._on_error = on_error

    async def read(self, stream: CodeStream, limit: asyncio.Timeout) -> CodeEnded:
        deadline = limit.when()
        async for event in stream.events():
            if isinstance(event, Paused):
                limit.reschedule(None)
            elif isinstance(event, Resumed):
                deadline = None if deadline is None else deadline + event.after
                limit.reschedule(deadline)
            elif isinstance(event, CodeOutput):
                self._tails[event.stream].add(event.data)
                if event.stream in self._feeds:
                    await self._feeds[event.stream].send(event.data)
            elif isinstance(event, CodeResult):
                self.results.append(event.result)
                await _call(self._on_result, event.result)
            elif isinstance(event, CodeRaised):
                self.error = event.error
                await _call(self._on_error, event.error)
            else:
                for feed in self._feeds.values():
                    await feed.send(b"", final=True)
                self.ended = event
                return event
        raise ExecLostError("the cell's events ended without its end", cause="transport")

    def execution(self) -> Execution:
        ended = self.ended
        return Execution(
            results=tuple(self.results),
            logs=Logs(*(tail.bytes().decode("utf-8", "replace") for tail in self._tails.values())),
            error=self.error,
            execution_count=ended.execution_count if ended else 0,
            context=ended.context if ended else "",
            context_restarted=ended.restarted if ended else False,
            exit_code=ended.exit_code if ended else None,
            duration=time.monotonic() - self._began,
        )


async def _call(callback: Callable[[Any], Awaitable[None] | None] | None, value: object) -> None:
    if callback is None:
        return
    pending = callback(value)
    if inspect.isawaitable(pending):
        await pending


async def run_cell(
    start: Callable[[RunCodeRequest], Awaitable[CodeStream]],
    request: RunCodeRequest,
    *,
    on_stdout: Callback | None = None,
    on_stderr: Callback | None = None,
    on_result: ResultCallback | None = None,
    on_error: ErrorCallback | None = None,
) -> Execution:
    """Run a cell to its end.

    Raises:
        CodeTimeoutError: the timeout ended it; says whether the context kept its state.
        ExecLostError: its end cannot be known any more; with the partial execution.
    """
    cell = _Cell(on_stdout, on_stderr, on_result, on_error)
    guard = None if request.timeout is None else request.timeout + request.grace + GUARD
    stream = await start(request)
    limit = asyncio.timeout(guard)
    try:
        async with limit:
            ended = await cell.read(stream, limit)
    except BaseException as error:
        await settle(_interrupted(stream))
        if isinstance(error, TimeoutError) and limit.expired():
            raise _timeout(request, cell.execution(), state_kept=False) from None
        if isinstance(error, ExecLostError):
            error.partial = cell.execution()
        raise
    finally:
        await stream.detach()
    if ended.timed_out:
        raise _timeout(request, cell.execution(), state_kept=not ended.restarted)
    return cell.execution()


async def _interrupted(stream: CodeStream) -> None:
    try:
        await stream.interrupt()
    except SandboxError:
        return  # the sandbox is gone, and the cell with it


def _timeout(request: RunCodeRequest, execution: Execution, *, state_kept: bool) -> Exception:
    state = "its variables are kept" if state_kept else "its context was restarted, variables lost"
    return CodeTimeoutError(
        f"the code did not end within {request.timeout:g} s; {state}",
        execution=execution,
        state_kept=state_kept,
        op="run_code",
        sandbox_id=request.sandbox_id,
    )
