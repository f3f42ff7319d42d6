"""A process that was started and goes on while the caller does other things."""

from __future__ import annotations

import asyncio
import signal as _signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from .backlog import Backlog
from .errors import ExecLostError, InvalidRequestError, SandboxError, located
from .execution import DRAIN, end_bounded, finish
from .models import CommandResult, Cursor, OutputChunk
from .output import Callback, OutputCollector
from .provider import Exited, Gap, ProcessStream, StartRequest
from .terminals import terminal_size
from .units import Duration, parse_duration

__all__ = ["AsyncProcess", "OutputReader"]


class AsyncProcess:
    """A running process: its output as it comes, its input, its signals, its end.

    Iterating yields `OutputChunk` with bytes. Until somebody iterates, output is kept (the last
    ``max_output`` bytes of it) and the process never waits; while somebody does, a process that
    writes faster than it is read is made to wait.

    Attributes:
        pid: its number inside the sandbox.
    """

    def __init__(
        self,
        stream: ProcessStream,
        request: StartRequest,
        *,
        provider: str,
        max_output: int,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        self.pid = stream.pid
        self._stream = stream
        self._request = request
        self._provider = provider
        self._collector = OutputCollector(max_output, on_stdout, on_stderr)
        self._cursor = cursor or Cursor()
        self._began = time.monotonic()
        self._backlog = Backlog(max_output)
        self._pump = asyncio.create_task(self._run())
        # Its failure is raised to whoever waits or reads; when nobody does, it is not news.
        self._pump.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _run(self) -> None:
        try:
            async for event in self._stream.events():
                if isinstance(event, OutputChunk):
                    await self._take(event)
                elif isinstance(event, Exited):
                    self._backlog.exit(event)
                elif isinstance(event, Gap):
                    self._cursor = self._cursor._replace(**{event.stream: event.end})
            await self._collector.finish()
        except (asyncio.CancelledError, SandboxError):
            raise
        except BaseException:
            await end_bounded(self._stream)  # a callback raised: nobody wants the rest
            raise
        finally:
            self._backlog.end()

    async def _raise_failure(self) -> None:
        if not self._pump.done():
            await asyncio.wait({self._pump})
        if not self._pump.cancelled() and (error := self._pump.exception()) is not None:
            raise error

    async def _take(self, chunk: OutputChunk) -> None:
        fresh = await self._collector.add(chunk)
        if fresh is None:
            return
        end = fresh.offset + len(fresh.data)
        self._cursor = self._cursor._replace(**{fresh.stream: end})
        await self._backlog.put(fresh)

    @property
    def cursor(self) -> Cursor:
        """How far its output has come here; good for `attach` in another process."""
        return self._cursor

    async def __aiter__(self) -> AsyncIterator[OutputChunk]:
        with self._backlog.reading():
            while self._backlog.has_output or not self._backlog.over:
                await self._backlog.something()
                chunk = self._backlog.take()
                if chunk is not None:  # else another reader was there first
                    yield chunk
            with self._located("iterate"):
                await self._raise_failure()

    async def wait(self, timeout: Duration | None = None) -> CommandResult:
        """Wait for it to exit. Cancelling this, or its timeout, kills nothing.

        Args:
            timeout: how long to wait here; the built-in ``TimeoutError`` is raised after that.

        Raises:
            CommandTimeoutError: the timeout given to `start` ended it.
            ExecLostError: its end cannot be known any more.
            TimeoutError: it did not exit within `timeout`.
        """
        seconds = None if timeout is None else parse_duration(timeout, "wait: timeout")
        backlog = self._backlog
        try:
            async with asyncio.timeout(seconds):
                await backlog.until(lambda: backlog.exited is not None or backlog.over)
        except TimeoutError:
            raise TimeoutError(
                f"process {self.pid} did not exit within {seconds:g} s; it runs on"
            ) from None
        if not backlog.over:
            await self._drained()
        with self._located("wait"):
            if backlog.over:
                await self._raise_failure()
            return self._result()

    def _result(self) -> CommandResult:
        output = self._collector.output(self._request, time.monotonic() - self._began)
        if self._backlog.exited is None:
            raise ExecLostError(
                f"process {self.pid} was let go before it ended", cause="transport", partial=output
            )
        return finish(self._backlog.exited, self._request, output)

    def _located(self, op: str) -> AbstractContextManager[None]:
        return located(op=op, provider=self._provider, sandbox_id=self._request.sandbox_id)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(DRAIN):
                await self._backlog.until(lambda: self._backlog.over)
        except TimeoutError:
            return  # a background child holds the pipe

    async def write(self, data: bytes | str) -> None:
        """Send to its standard input, which it must have been given. On a terminal: type.

        Raises:
            BrokenPipeError: it does not read any more, or another client has taken it over.
        """
        with self._located("write"):
            await self._stream.send_stdin(data.encode() if isinstance(data, str) else data)

    async def close_stdin(self) -> None:
        """Let it see the end of its standard input; on a terminal, type Ctrl-D and nothing more."""
        await self._stream.close_stdin()

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size; programs that care redraw. Not once it has ended.

        Raises:
            UnsupportedError: it has no terminal.
            InvalidRequestError: no terminal has this size, or this one is another client's.
        """
        with self._located("resize"):
            await self._stream.resize(terminal_size((rows, columns), "resize"))

    async def signal(self, signum: int) -> None:
        """Deliver a signal to the process itself.

        Raises:
            InvalidRequestError: there is no such signal.
            ProcessNotFoundError: it has ended.
        """
        if not isinstance(signum, int):
            raise InvalidRequestError(f"signal: {signum!r} is not a number; see the signal module")
        if not 0 <= signum < _signal.NSIG:
            raise InvalidRequestError(f"signal: there is no signal {int(signum)}")
        with self._located("signal"):
            await self._stream.signal(int(signum))

    async def interrupt(self) -> None:
        """Deliver SIGINT, as Ctrl-C does."""
        await self.signal(_signal.SIGINT)

    async def kill(self, grace: float = 0.5) -> None:
        """End it and everything it started: SIGTERM, `grace` seconds, SIGKILL. Idempotent.

        Raises:
            SandboxPausedError: the sandbox is paused, and nothing in it runs. This is done as soon
                as it goes on; to be rid of it now, kill the sandbox.
        """
        with self._located("kill"):
            await self._stream.terminate(grace)

    async def close(self) -> None:
        """Stop listening. The process lives on. Idempotent."""
        self._pump.cancel()
        await asyncio.wait({self._pump})
        try:
            await self._stream.detach()
        except SandboxError:
            return  # there is nothing left to let go of

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class OutputReader:
    """Reads a process's output for whoever passes it on as it comes.

    Used by `with`: meanwhile the process waits for its reader.

    Args:
        process: whose.
        to_the_end: whether to read until all that hold its output have closed it, else until it
            has exited and nothing has come for 50 ms in all.
    """

    def __init__(self, process: AsyncProcess, *, to_the_end: bool) -> None:
        self._process = process
        self._backlog = process._backlog
        self._to_the_end = to_the_end
        self._left = DRAIN
        self._reading = self._backlog.reading()

    def __enter__(self) -> Self:
        self._reading.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reading.__exit__(kind, error, traceback)

    async def next(self, patience: float) -> OutputChunk | None:
        """The next output, or ``None`` at its end.

        Raises:
            TimeoutError: nothing has come for `patience` seconds. More may.
            SandboxError: the process is lost.
        """
        while (chunk := self._backlog.take()) is None:
            if self._backlog.over:
                await self._process._raise_failure()
                return None
            if not self._exited():
                async with asyncio.timeout(patience):
                    await self._backlog.until(lambda: self._has_news() or self._exited())
            elif not await self._drained():
                return None  # a child in the background holds the pipes
        return chunk

    async def _drained(self) -> bool:
        """Wait for what was written before the exit; false if nothing comes any more."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._left):
                await self._backlog.until(self._has_news)
        except TimeoutError:
            return False
        self._left -= asyncio.get_running_loop().time() - began
        return True

    def _exited(self) -> bool:
        return self._backlog.exited is not None and not self._to_the_end

    def _has_news(self) -> bool:
        return self._backlog.over or self._backlog.has_output
