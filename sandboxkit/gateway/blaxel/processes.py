"""The processes of one sandbox that were started here, by name and by number."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import CommandTimeoutError, SandboxError
from ...models import CommandResult, OutputChunk, SandboxInfo
from ...process import AsyncProcess
from ...sandbox import AsyncSandbox
from ..refusal import Refusal
from .output import Output
from .shapes import moment

__all__ = ["Order", "Process", "Processes", "new_name"]

DRAIN = 0.05
"""Seconds without output after an exit, from which on there is no more to wait for."""
SHOWN = 64 << 10
"""Bytes of each stream that are shown with a process."""
MOST = 1000
"""Processes that are remembered."""
MOST_KEPT = 64 << 20
"""Bytes of output kept of all that have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a client asked to start.

    Attributes:
        command: for a shell.
        name: to find it by.
        cwd: where it runs, or ``None``.
        env: on top of the sandbox's.
        timeout: seconds, or ``None``.
        stdin: whether its input is open.
        keep_alive: as it was asked for; nothing here falls asleep.
    """

    command: str
    name: str
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    stdin: bool = False
    keep_alive: bool = False


class Process:
    """One of them.

    Attributes:
        order: what was asked for.
        process: it.
        output: what it has written.
        status: ``running``, ``completed``, ``failed``, ``killed`` or ``stopped``.
    """

    def __init__(self, order: Order, process: AsyncProcess, *, vendor: bool) -> None:
        self.order = order
        self.process = process
        self.output = Output()
        self.status = "running"
        self._exit_code = 0
        self._vendor = vendor
        self._began = time.time()
        self._ended: float | None = None
        self._told: signal.Signals | None = None
        self._over = asyncio.Event()
        self._following = asyncio.create_task(self._follow())

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "running"

    async def wait(self) -> None:
        """Wait until it has ended and its output is there."""
        await self._over.wait()

    async def end(self, how: signal.Signals) -> None:
        """End it; with SIGKILL, all that it started too, unless we are as weak as Blaxel."""
        self._told = how
        if how == signal.SIGKILL and not self._vendor:
            await self.process.kill(grace=0)
        else:
            await self.process.signal(how)

    async def close(self) -> None:
        """Let go of it; it lives on."""
        self._following.cancel()
        await asyncio.wait({self._following})
        await self.output.end()
        self._over.set()  # whoever waits for it would wait for ever
        with contextlib.suppress(SandboxError):
            await self.process.close()

    def shown(self) -> dict[str, Any]:
        """As the wire has it."""

        def text(*streams: Any) -> str:
            return self.output.last(streams, SHOWN).decode("utf-8", "replace")

        return {
            "pid": str(self.process.pid),
            "name": self.order.name,
            "command": self.order.command,
            "status": self.status,
            "startedAt": moment(self._began),
            "completedAt": "" if self._ended is None else moment(self._ended),
            "exitCode": self._exit_code,
            "workingDir": self.order.cwd or "",
            "stdout": text("stdout"),
            "stderr": text("stderr"),
            "logs": text("stdout", "stderr"),
            "keepAlive": self.order.keep_alive,
            "stdin": self.order.stdin,
        }

    async def _follow(self) -> None:
        exiting = asyncio.ensure_future(self._exit())
        chunks = aiter(self.process)
        nearest: asyncio.Future[OutputChunk | None] = asyncio.ensure_future(anext(chunks, None))
        try:
            while True:
                ended = exiting.done()
                waiting = {nearest} if ended else {nearest, exiting}
                await asyncio.wait(
                    cast("set[asyncio.Future[Any]]", waiting),
                    timeout=DRAIN if ended and self.running else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if nearest.done():
                    chunk = _result(nearest)
                    if chunk is None:
                        break
                    await self.output.add(chunk.stream, chunk.data)
                    nearest = asyncio.ensure_future(anext(chunks, None))
                elif ended and self.running:
                    # A child in the background holds the pipes; it is still listened to.
                    await self._finish(exiting.result())
            if self.running:
                await self._finish(await exiting)
        finally:
            for task in (nearest, exiting):
                task.cancel()
            await asyncio.gather(nearest, exiting, return_exceptions=True)

    async def _exit(self) -> CommandResult | None:
        try:
            return await self.process.wait()
        except CommandTimeoutError as late:
            self._told = signal.SIGKILL
            return cast("CommandResult", late.result)
        except SandboxError:
            return None  # it ended with its sandbox

    async def _finish(self, result: CommandResult | None) -> None:
        if result is None:
            self.status, self._exit_code = "killed", -1
        elif self._told is not None:
            self.status = "killed" if self._told == signal.SIGKILL else "stopped"
            self._exit_code = self._code(result)
        else:
            self.status = "completed" if result.exit_code == 0 else "failed"
            self._exit_code = self._code(result)
        self._ended = time.time()
        await self.output.end()
        self._over.set()

    def _code(self, result: CommandResult) -> int:
        return -1 if self._vendor and result.signal is not None else result.exit_code


def _result(nearest: asyncio.Future[OutputChunk | None]) -> OutputChunk | None:
    try:
        return nearest.result()
    except (SandboxError, OSError):
        return None  # how it ended is asked beside this


class Processes:
    """Starts, finds and remembers them."""

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo) -> None:
        self.sandbox = sandbox
        self.info = info
        self._all: dict[str, Process] = {}
        self._starting: set[str] = set()

    async def start(self, order: Order, *, vendor: bool) -> Process:
        """Start one. It lives on when its client is gone.

        Raises:
            Refusal: there is one of that name.
            SandboxError: it could not be started.
        """
        there = self._all.get(order.name)
        if order.name in self._starting or (there is not None and there.running):
            raise Refusal(400, f"process with name '{order.name}' already exists and is running")
        if sum(one.running for one in self._all.values()) + len(self._starting) >= MOST:
            raise Refusal(429, f"there are {MOST} processes already")
        self._starting.add(order.name)
        try:
            process = await self.sandbox.start(
                ["/bin/sh", "-c", order.command],
                cwd=order.cwd,
                env=order.env,
                stdin=order.stdin,
                timeout=order.timeout,
                max_output=1 << 16,
            )
            old = self._all.pop(order.name, None)
            made = self._all[order.name] = Process(order, process, vendor=vendor)
        finally:
            self._starting.discard(order.name)
        if old is not None:
            await old.close()
        await self._forget_some()
        return made

    async def _forget_some(self) -> None:
        ended = [one for one in self._all.values() if not one.running]
        held = sum(one.output.held for one in ended)
        for one in ended:
            if held <= MOST_KEPT and len(self._all) <= MOST:
                return
            held -= one.output.held
            del self._all[one.order.name]
            await one.close()

    def find(self, identifier: str) -> Process:
        """One by its name or its number.

        Raises:
            Refusal: there is none.
        """
        found = self._all.get(identifier)
        if found is None:
            by_pid = [one for one in self._all.values() if str(one.process.pid) == identifier]
            if not by_pid:
                raise Refusal(404, "process not found")
            found = by_pid[-1]
        return found

    def all(self) -> list[Process]:
        """All that are remembered."""
        return [*self._all.values()]

    async def close(self) -> None:
        """Let go of all; they live on."""
        while self._all:
            await self._all.popitem()[1].close()


def new_name() -> str:
    """A name for a process whose client gave it none."""
    return f"proc-{secrets.token_hex(4)}"
