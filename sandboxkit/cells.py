"""The contract's engine for code: one cell from request to `Execution`."""

from __future__ import annotations

import asyncio
import inspect
import time
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, get_args

from .errors import CodeTimeoutError, ExecLostError, SandboxError
from .execution import GUARD, settle
from .models import CodeError, Execution, Logs, OutputText, Result, StreamName
from .output import Callback, Tail, TextFeed
from .provider import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    CodeStream,
    Paused,
    Resumed,
    RunCodeRequest,
)

__all__ = ["ErrorCallback", "ResultCallback", "Shown", "run_cell", "stream_cell"]

ResultCallback = Callable[[Result], Awaitable[None] | None]
ErrorCallback = Callable[[CodeError], Awaitable[None] | None]

Start = Callable[[RunCodeRequest], Awaitable[CodeStream]]

_STREAMS: tuple[StreamName, ...] = get_args(StreamName)

LOG_LIMIT = 64 << 20
"""Bytes kept of each stream of a cell, the last ones."""


Shown = OutputText | Result | CodeError | Execution
"""What `stream_cell` yields."""


class _Cell:
    """What one cell has produced until now."""

    def __init__(self, request: RunCodeRequest) -> None:
        self.request = request
        self.results: list[Result] = []
        self.error: CodeError | None = None
        self.ended: CodeEnded | None = None
        self._began = time.monotonic()
        self._tails = {"stdout": Tail(LOG_LIMIT), "stderr": Tail(LOG_LIMIT)}

    def add(self, event: CodeEvent) -> None:
        if isinstance(event, CodeOutput):
            self._tails[event.stream].add(event.data)
        elif isinstance(event, CodeResult):
            self.results.append(event.result)
        elif isinstance(event, CodeRaised):
            self.error = event.error
        elif isinstance(event, CodeEnded):
            self.ended = event

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
            oom=ended.oom if ended else False,
            duration=time.monotonic() - self._began,
        )

    def outcome(self) -> Execution:
        """The execution of a cell that has ended.

        Raises:
            CodeTimeoutError: its timeout ended it.
        """
        if self.ended is not None and self.ended.timed_out:
            raise self.timeout(state_kept=not self.ended.restarted)
        return self.execution()

    def timeout(self, *, state_kept: bool) -> CodeTimeoutError:
        request = self.request
        lost = "its context was restarted, variables lost"
        return CodeTimeoutError(
            f"the code did not end within {request.timeout:g} s; "
            + ("its variables are kept" if state_kept else lost),
            execution=self.execution(),
            state_kept=state_kept,
            op="run_code",
            sandbox_id=request.sandbox_id,
        )


class _Relay:
    """Hands what happens to the callbacks."""

    def __init__(
        self,
        on_stdout: Callback | None,
        on_stderr: Callback | None,
        on_result: ResultCallback | None,
        on_error: ErrorCallback | None,
    ) -> None:
        pairs = (("stdout", on_stdout), ("stderr", on_stderr))
        self._feeds = {name: TextFeed(callback) for name, callback in pairs if callback}
        self._on_result = on_result
        self._on_error = on_error

    async def send(self, event: CodeEvent) -> None:
        if isinstance(event, CodeOutput):
            if event.stream in self._feeds:
                await self._feeds[event.stream].send(event.data)
        elif isinstance(event, CodeResult):
            await _call(self._on_result, event.result)
        elif isinstance(event, CodeRaised):
            await _call(self._on_error, event.error)
        elif isinstance(event, CodeEnded):
            for feed in self._feeds.values():
                await feed.send(b"", final=True)


async def _call(callback: Callable[[Any], Awaitable[None] | None] | None, value: object) -> None:
    if callback is None:
        return
    pending = callback(value)
    if inspect.isawaitable(pending):
        await pending


async def run_cell(
    start: Start,
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
    cell = _Cell(request)
    relay = _Relay(on_stdout, on_stderr, on_result, on_error)
    stream = await start(request)
    limit = asyncio.timeout(_guard(request))
    try:
        async with limit:
            async for event in _pausing(stream.events(), limit):
                cell.add(event)
                await relay.send(event)
        _check_end(cell)
    except BaseException as error:
        await settle(_interrupted(stream))
        if isinstance(error, TimeoutError) and limit.expired():
            raise cell.timeout(state_kept=False) from None
        if isinstance(error, ExecLostError):
            error.partial = cell.execution()
        raise
    finally:
        await stream.detach()
    return cell.outcome()


async def stream_cell(start: Start, request: RunCodeRequest) -> AsyncGenerator[Shown, None]:
    """Run a cell and yield what happens as it does, its execution last.

    Leaving the iteration early interrupts the cell.

    Raises:
        CodeTimeoutError: the timeout ended it.
        ExecLostError: its end cannot be known any more.
    """
    cell = _Cell(request)
    decode = {name: getincrementaldecoder("utf-8")("replace").decode for name in _STREAMS}
    deadline = _Deadline(_guard(request))
    stream = await start(request)
    try:
        events = stream.events()
        while cell.ended is None and (event := await deadline.next(events)) is not None:
            deadline.heed(event)
            cell.add(event)
            if isinstance(event, CodeOutput):
                if text := decode[event.stream](event.data):
                    yield OutputText(event.stream, text)
            elif isinstance(event, CodeResult):
                yield event.result
            elif isinstance(event, CodeRaised):
                yield event.error
        _check_end(cell)
        for name in _STREAMS:
            if text := decode[name](b"", True):
                yield OutputText(name, text)
    except BaseException as error:
        await settle(_interrupted(stream))
        if isinstance(error, TimeoutError) and deadline.passed:
            raise cell.timeout(state_kept=False) from None
        if isinstance(error, ExecLostError):
            error.partial = cell.execution()
        raise
    finally:
        await stream.detach()
    yield cell.outcome()


async def _pausing(
    events: AsyncIterator[CodeEvent], limit: asyncio.Timeout
) -> AsyncIterator[CodeEvent]:
    """The same events; no time runs out while the sandbox stands still."""
    deadline = limit.when()
    async for event in events:
        if isinstance(event, Paused):
            limit.reschedule(None)
        elif isinstance(event, Resumed):
            deadline = None if deadline is None else deadline + event.after
            limit.reschedule(deadline)
        yield event


class _Deadline:
    """A time that no wait for an event goes beyond; the consumer's own time is not counted in."""

    def __init__(self, seconds: float | None) -> None:
        self._when = None if seconds is None else time.monotonic() + seconds
        self._paused = False
        self.passed = False

    def heed(self, event: CodeEvent) -> None:
        """Let no time run out while the sandbox stands still."""
        if isinstance(event, Paused | Resumed):
            self._paused = isinstance(event, Paused)
            if isinstance(event, Resumed) and self._when is not None:
                self._when += event.after

    async def next(self, events: AsyncIterator[CodeEvent]) -> CodeEvent | None:
        left = None
        if self._when is not None and not self._paused:
            left = max(0.0, self._when - time.monotonic())
        limit = asyncio.timeout(left)
        try:
            async with limit:
                return await anext(events, None)
        finally:
            self.passed = limit.expired()


def _guard(request: RunCodeRequest) -> float | None:
    """Seconds after which the sandbox has failed to enforce the timeout itself."""
    return None if request.timeout is None else request.timeout + request.grace + GUARD


def _check_end(cell: _Cell) -> None:
    if cell.ended is None:
        raise ExecLostError("the cell's events ended without its end", cause="transport")


async def _interrupted(stream: CodeStream) -> None:
    try:
        await stream.interrupt()
    except SandboxError:
        return  # the sandbox is gone, and the cell with it
