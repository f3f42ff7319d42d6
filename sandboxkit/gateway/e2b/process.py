"""The service ``process.Process``: start, connect, input, signals, terminals."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from ...errors import (
    CommandTimeoutError,
    InvalidRequestError,
    PathNotDirectoryError,
    PathNotFoundError,
    ProcessNotFoundError,
    SandboxError,
)
from ...models import CommandResult, Cursor, OutputChunk
from ...process import AsyncProcess, OutputReader
from ..http import Last
from . import fields
from .call import Call
from .connect import ConnectError, ending, frame, framed
from .running import Config, Running

__all__ = ["ProcessService"]

KEEPALIVE = 90.0
"""Seconds of silence after which a client is told that all is well, unless it names others."""


class ProcessService:
    """One client's call of it.

    Args:
        running: the sandbox's processes.
        call: who calls, and how.
        vendor: whether to be as weak as E2B's own: streams end with their pipes and not with the
            process, deadlines and kills reach the process alone, a signal is -1, no replay.
    """

    def __init__(self, running: Running, call: Call, *, vendor: bool) -> None:
        self._running = running
        self._call = call
        self._vendor = vendor

    # -- streams ------------------------------------------------------------------------------

    async def start(self, message: fields.Message) -> AsyncGenerator[bytes]:
        """Start a process and tell what happens to it."""
        config, size, stdin = _wanted(message)
        timeout = self._call.timeout
        try:
            process = await self._running.start(
                config,
                user=self._call.user,
                stdin=stdin,
                timeout=None if self._vendor else timeout or None,
                size=size,
            )
        except (PathNotFoundError, PathNotDirectoryError) as error:
            if error.path != config.cmd:
                raise ConnectError(
                    "invalid_argument", f"cwd '{config.cwd}' does not exist"
                ) from None
            raise ConnectError("invalid_argument", error.message) from None
        events = self._told(process, terminal=size is not None)
        if self._vendor and timeout:
            events = self._killed_after(events, timeout, process)
        try:
            async with contextlib.aclosing(events):
                async for part in events:
                    yield part
        finally:
            self._running.left(process)

    async def _killed_after(
        self, events: AsyncGenerator[bytes], seconds: float, process: AsyncProcess
    ) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(_within(events, seconds)) as bounded:
            try:
                async for part in bounded:
                    yield part
            except TimeoutError:
                with contextlib.suppress(SandboxError):
                    await process.signal(signal.SIGKILL)
                raise _late() from None

    async def connect(self, message: fields.Message) -> AsyncGenerator[bytes]:
        """Tell what happens to a process that was started before."""
        pid = self._running.pid_of(message)
        info = await self._running.info(pid)
        cursor = Cursor()
        if self._vendor:
            cursor = Cursor(info.stdout_total or 0, info.stderr_total or 0)
        process = await self._running.follow(pid, cursor)
        try:
            timeout = self._call.timeout
            events = self._told(process, terminal=info.terminal)
            async for part in _within(events, timeout) if timeout else events:
                yield part
        except TimeoutError:
            raise _late() from None
        finally:
            await process.close()

    async def _told(self, process: AsyncProcess, *, terminal: bool) -> AsyncGenerator[bytes]:
        silence = self._call.keepalive or KEEPALIVE
        # The reader begins before anything is sent, so that no output is dropped.
        with OutputReader(process, to_the_end=self._vendor) as reader:
            yield framed(b'{"event":{"start":{"pid":%d}}}' % process.pid)
            while True:
                try:
                    chunk = await reader.next(silence)
                except TimeoutError:
                    yield _event({"keepalive": {}})
                    continue
                if chunk is None:
                    break
                yield _data(chunk, terminal=terminal)
            end = await self._end(process)
            self._running.forget(process)
            yield Last(_event({"end": end}) + ending())

    async def _end(self, process: AsyncProcess) -> dict[str, Any]:
        try:
            return ended(await process.wait(), vendor=self._vendor)
        except CommandTimeoutError:
            raise _late() from None

    # -- calls --------------------------------------------------------------------------------

    async def list(self, message: fields.Message) -> dict[str, Any]:
        """The processes that run."""
        return {"processes": await self._running.list()}

    async def send_input(self, message: fields.Message) -> dict[str, Any]:
        """Write to a process's input."""
        pid = self._running.pid_of(message)
        await self._write(pid, fields.mapping(message, "input"))
        return {}

    async def stream_input(self, messages: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
        """Write to a process's input as it comes."""
        pid = None
        async for message in messages:
            if "start" in message:
                pid = self._running.pid_of(fields.mapping(message, "start"))
            elif "data" in message:
                if pid is None:
                    raise ConnectError("invalid_argument", "the input comes before its process")
                given = fields.mapping(message, "data")
                await self._write(pid, fields.mapping(given, "input"))
        return {}

    async def _write(self, pid: int, given: fields.Message) -> None:
        name = "pty" if "pty" in given else "stdin"
        data = fields.content(given, name)
        process = await self._owned(pid)
        try:
            await process.write(data)
        except (OSError, InvalidRequestError):
            raise ConnectError(
                "internal", f"error writing to {name}: {name} not enabled or closed"
            ) from None

    async def close_stdin(self, message: fields.Message) -> dict[str, Any]:
        """End a process's input."""
        pid = self._running.pid_of(message)
        if (await self._running.info(pid)).terminal:
            raise ConnectError("failed_precondition", "a terminal's input cannot be closed")
        await (await self._owned(pid)).close_stdin()
        return {}

    async def send_signal(self, message: fields.Message) -> dict[str, Any]:
        """End a process: with SIGKILL, and all that it started with it."""
        pid = self._running.pid_of(message)
        wanted = {
            "SIGNAL_SIGKILL": signal.SIGKILL,
            "SIGNAL_SIGTERM": signal.SIGTERM,
            9: signal.SIGKILL,
            15: signal.SIGTERM,
        }.get(message.get("signal"))
        if wanted is None:
            raise ConnectError("invalid_argument", "the signal is neither SIGKILL nor SIGTERM")
        if not (await self._running.info(pid)).running:
            raise ConnectError("not_found", f"process with pid {pid} not found")
        process = await self._owned(pid)
        if wanted == signal.SIGKILL and not self._vendor:
            await process.kill(grace=0)
        else:
            await process.signal(wanted)
        return {}

    async def update(self, message: fields.Message) -> dict[str, Any]:
        """Give a process's terminal another size."""
        pid = self._running.pid_of(message)
        size = _size(fields.mapping(message, "pty"))
        if size is not None:
            await (await self._owned(pid)).resize(*size)
        return {}

    async def _owned(self, pid: int) -> AsyncProcess:
        try:
            return await self._running.owned(pid)
        except ProcessNotFoundError:
            raise ConnectError("not_found", f"process with pid {pid} not found") from None


def _late() -> ConnectError:
    return ConnectError("deadline_exceeded", "the command did not end within its timeout")


def _wanted(message: fields.Message) -> tuple[Config, tuple[int, int] | None, bool]:
    given = fields.mapping(message, "process")
    command = fields.text(given, "cmd")
    if not command:
        raise ConnectError("invalid_argument", "the process has no cmd")
    size = _size(fields.mapping(message, "pty")) if "pty" in message else None
    config = Config(
        cmd=command,
        args=fields.texts(given, "args"),
        envs=fields.pairs(given, "envs"),
        cwd=fields.text(given, "cwd"),
        tag=fields.text(message, "tag"),
        terminal=size is not None,
    )
    if any("\0" in part for part in (command, *config.args, *config.envs, *config.envs.values())):
        raise ConnectError("invalid_argument", "a NUL byte cannot be in a command")
    # Those who do not know the field expect an open input.
    return config, size, fields.flag(message, "stdin", default=True)


def _size(pty: fields.Message) -> tuple[int, int] | None:
    if not pty:
        return None
    size = fields.mapping(pty, "size")
    rows, columns = fields.number(size, "rows", 24), fields.number(size, "cols", 80)
    if not (0 < rows <= 32767 and 0 < columns <= 32767):
        raise ConnectError("invalid_argument", "no terminal has this size")
    return rows, columns


async def _within(parts: AsyncGenerator[bytes], seconds: float) -> AsyncGenerator[bytes]:
    """The same parts, until a time.

    Raises:
        TimeoutError: it has passed.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        while True:
            async with asyncio.timeout_at(deadline):
                part = await anext(parts, None)
            if part is None:
                return
            yield part
    finally:
        await parts.aclose()


def _event(event: dict[str, Any]) -> bytes:
    return frame({"event": event})


def _data(chunk: OutputChunk, *, terminal: bool) -> bytes:
    name = b"pty" if terminal else chunk.stream.encode("ascii")
    # Base64 needs no escapes, which a writer of JSON would look for.
    return framed(b'{"event":{"data":{"%b":"%b"}}}' % (name, base64.b64encode(chunk.data)))


def ended(result: CommandResult, *, vendor: bool) -> dict[str, Any]:
    """How a process ended, as the wire has it: protobuf's JSON leaves out a zero."""
    if result.signal is not None:
        status = f"signal: {SIGNALS.get(result.signal, str(result.signal))}"
        code = -1 if vendor else result.exit_code
        return {"exitCode": code, "status": status, "error": status}
    status = f"exit status {result.exit_code}"
    told: dict[str, Any] = {"exited": True, "status": status}
    if result.exit_code != 0:
        told |= {"exitCode": result.exit_code, "error": status}
    return told


SIGNALS: dict[int, str] = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}
"""Signals in the words of the Go runtime, which the wire has from there."""
