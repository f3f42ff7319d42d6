"""A process that was started and goes on while the caller does other things."""

from __future__ import annotations

import asyncio
import signal as _signal
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from .errors import ExecLostError, InvalidRequestError, SandboxError, located
from .execution import DRAIN, end_bounded, finish
from .models import CommandResult, Cursor, OutputChunk
from .output import Callback, OutputCollector
from .provider import Exited, Gap, ProcessStream, StartRequest
from .terminals import terminal_size
from .units import Duration, parse_duration

__all__ = ["AsyncProcess"]

WINDOW = 256 << 10
"""Bytes that an iterating reader may lag behind before the process is made to wait."""


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
        self._limit = max_output
        self._cursor = cursor or Cursor()
        self._began = time.monotonic()
        self._pending: deque[OutputChunk] = deque()
        self._pending_bytes = 0
        self._readers = 0
        self._changed = asyncio.Condition()
        self._exited: Exited | None = None
        self._over = False
        self._pump = asyncio.create_task(self._run())
        # Its failure is raised to whoever waits or reads; when nobody does, it is not news.
        self._pump.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _run(self) -> None:
        try:
            async for event in self._stream.events():
                if isinstance(event, OutputChunk):
                    await self._take(event)
                elif isinstance(event, Exited):
                    async with self._changed:
                        self._exited = event
                        self._changed.notify_all()
                elif isinstance(event, Gap):
                    self._cursor = self._cursor._replace(**{event.stream: event.end})
            await self._collector.finish()
        except (asyncio.CancelledError, SandboxError):
            raise
        except BaseException:
            await end_bounded(self._stream)  # a callback raised: nobody wants the rest
            raise
        finally:
            async with self._changed:
                self._over = True
                self._changed.notify_all()

    async def _raise_failure(self) -> None:
        await asyncio.wait({self._pump})
        if not self._pump.cancelled() and (error := self._pump.exception()) is not None:
            raise error

    async def _take(self, chunk: OutputChunk) -> None:
        fresh = await self._collector.add(chunk)
        if fresh is None:
            return
        chunk = fresh
        end = chunk.offset + len(chunk.data)
        self._cursor = self._cursor._replace(**{chunk.stream: end})
        async with self._changed:
            self._pending.append(chunk)
            self._pending_bytes += len(chunk.data)
            self._changed.notify_all()
            while self._readers and self._pending_bytes > WINDOW:
                await self._changed.wait()
            while not self._readers and self._pending_bytes > self._limit:
                self._pending_bytes -= len(self._pending.popleft().data)

    @property
    def cursor(self) -> Cursor:
        """How far its output has come here; good for `attach` in another process."""
        return self._cursor

    async def __aiter__(self) -> AsyncIterator[OutputChunk]:
        self._readers += 1
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._pending or self._over)
                    if not self._pending:
                        break
                    chunk = self._pending.popleft()
                    self._pending_bytes -= len(chunk.data)
                    self._changed.notify_all()
                yield chunk
            with self._located("iterate"):
                await self._raise_failure()
        finally:
            self._readers -= 1
            async with self._changed:
                self._changed.notify_all()

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
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._exited is not None or self._over)
        except TimeoutError:
            raise TimeoutError(
                f"process {self.pid} did not exit within {seconds:g} s; it runs on"
            ) from None
        if self._exited is not None and not self._over:
            await self._drained()
        with self._located("wait"):
            if self._over:
                await self._raise_failure()
            return self._result()

    def _result(self) -> CommandResult:
        output = self._collector.output(self._request, time.monotonic() - self._began)
        if self._exited is None:
            raise ExecLostError(
                f"process {self.pid} was let go before it ended", cause="transport", partial=output
            )
        return finish(self._exited, self._request, output)

    def _located(self, op: str) -> AbstractContextManager[None]:
        return located(op=op, provider=self._provider, sandbox_id=self._request.sandbox_id)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(DRAIN), self._changed:
                await self._changed.wait_for(lambda: self._over)
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
