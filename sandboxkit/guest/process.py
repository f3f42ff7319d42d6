"""A process in a guest, followed across broken connections."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import errno
import os
import shlex
from collections.abc import AsyncIterator
from dataclasses import replace
from signal import SIGKILL
from typing import Any

from ..errors import (
    Cause,
    ExecLostError,
    InvalidRequestError,
    ProcessNotFoundError,
    ProtocolError,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
)
from ..models import Cursor, OutputChunk, TerminalSize
from ..provider import (
    KILL_GRACE,
    AttachRequest,
    Closed,
    Exited,
    Gap,
    Paused,
    ProcessEvent,
    ProcessStream,
    Resumed,
    StartRequest,
)
from .client import GuestClient
from .inbox import Inbox
from .process_input import ProcessInput
from .process_link import ProcessLink

__all__ = ["GuestProcess"]

ATTEMPTS = 5
"""How often in a row a connection may break before anything is heard of the process."""

SETTLED = 1.0
"""Seconds after which a link that breaks counts as one that had worked."""

MAX_GAPS = 10_000
"""How many gaps may wait for the consumer. Each holds memory that no credit counts."""

MAX_PAUSES = 10_000
"""How many pauses and resumptions may, likewise."""

MAX_LABEL = 200


class GuestProcess(ProcessStream):
    """A process that was started or found through a `GuestClient`; see `start` and `attach`.

    Attributes:
        terminal: whether it has one.
    """

    def __init__(self, client: GuestClient, cursor: Cursor = Cursor(), *, own: bool) -> None:
        self.pid = 0
        self._client = client
        self._own = own
        self._inbox: Inbox[ProcessEvent] = Inbox()
        self._link = ProcessLink(self, "started")
        self._received = [0, *cursor]
        self._waiting = [0, 0, 0]
        self._stale = [0, 0, 0]
        self._exited = False
        self._over = False
        self._broken: ProcessLink | None = None
        self._heard = False
        self._gaps = 0
        self._pauses = 0
        self._attempts = 0
        self._linked_at = 0.0
        self._resuming: asyncio.Task[None] | None = None
        self._bound = False
        self.terminal = False
        self._size: TerminalSize | None = None
        self.input = ProcessInput(self._writable_link, is_open=False)
        self._pid_here = os.getpid()

    @classmethod
    async def start(cls, client: GuestClient, request: StartRequest) -> GuestProcess:
        """Start a process. If this is cancelled, the process is ended.

        Raises:
            SandboxError: what the guest answered, or why it did not.
        """
        process = cls(client, own=True)
        process._bound = request.bound
        process.terminal = request.terminal is not None
        process.input.closed = not (request.stdin or process.terminal)
        link = process._link
        await client.open(link, "start", _start_arguments(request))
        try:
            await link.begun
        except asyncio.CancelledError:
            link.control(do="terminate", grace=request.grace)
            link.reset()
            process._over = True
            raise
        process._begun()
        return process

    @classmethod
    async def attach(cls, client: GuestClient, request: AttachRequest) -> GuestProcess:
        """Observe a process or take it over, beginning at the request's cursor.

        Raises:
            ProcessNotFoundError: there is none of this number, or no longer.
            SandboxError: what else the guest answered, or why it did not.
        """
        process = cls(client, request.cursor, own=request.own)
        process.pid = request.pid
        process.input = ProcessInput(process._writable_link, is_open=request.own, joins=True)
        await process._attach()
        return process

    # -- the process stream -------------------------------------------------------------------

    async def events(self) -> AsyncIterator[ProcessEvent]:
        if self._pid_here != os.getpid():
            await self._linked()
        while (event := await self._inbox.get()) is not None:
            self._attempts = 0
            if type(event) is OutputChunk:
                self._taken(event)
            elif type(event) is Gap:
                self._gaps -= 1
            elif isinstance(event, Paused | Resumed):
                self._pauses -= 1
            elif type(event) is Exited:
                event = await self._judged(event)
            yield event
            if type(event) is Closed:
                return

    async def _judged(self, exited: Exited) -> Exited:
        """Say so if it was killed for want of memory: itself, or what its shell waited for."""
        killed = exited.signal == SIGKILL or exited.code == 128 + SIGKILL
        if not killed or exited.timed_out or self._client.ran_out is None:
            return exited
        try:
            return replace(exited, oom=await self._client.ran_out())
        except SandboxError:
            return exited  # nobody can tell any more

    async def send_stdin(self, data: bytes) -> None:
        await self.input.send(data)

    async def close_stdin(self) -> None:
        await self.input.finish()

    async def signal(self, signum: int) -> None:
        link = await self._linked() if not self._exited else None
        if link is None or self._exited:
            raise ProcessNotFoundError(f"process {self.pid} has ended")
        link.control(do="signal", signum=signum)

    async def resize(self, size: TerminalSize) -> None:
        if not self.terminal:
            await super().resize(size)
        if not self._own:
            raise InvalidRequestError(
                f"process {self.pid}: only who has its input resizes its terminal", op="resize"
            )
        self._size = size
        if not self._exited:
            _resize(await self._linked(), size)

    async def terminate(self, grace: float = KILL_GRACE) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._client.call("kill_tree", pid=self.pid, grace=grace)
            except (ProcessNotFoundError, SandboxNotFoundError):
                return
            except TransportError:
                # To kill is idempotent: the one thing that may be said again.
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    async def detach(self) -> None:
        self._over = True
        if self._resuming is not None:
            self._resuming.cancel()
        self._link.reset()
        self._inbox.close()

    # -- what the link hears ------------------------------------------------------------------

    def output(self, channel: int, data: bytes) -> None:
        """Output arrived."""
        size = len(data)
        offset = self._received[channel]
        self._received[channel] = offset + size
        self._waiting[channel] += size
        self._inbox.put(OutputChunk("stdout" if channel == 1 else "stderr", data, offset))

    def gap(self, channel: int, start: int, end: int) -> None:
        """Output from `start` to `end` is lost to us."""
        if end > self._received[channel]:
            self._received[channel] = end
            self._gaps += 1
            if self._gaps > MAX_GAPS:
                raise ProtocolError("the guest reported more gaps than it can have made")
            self._inbox.put(Gap("stdout" if channel == 1 else "stderr", start, end))

    def paused(self, event: Paused | Resumed) -> None:
        """The sandbox stands still, or goes on."""
        self._pauses += 1
        if self._pauses > MAX_PAUSES:
            raise ProtocolError("the guest was paused more often than can be")
        self._inbox.put(event)

    def exited(self, event: Exited) -> None:
        """The process was reaped; heard again after each resumption."""
        if not self._exited:
            self._exited = True
            self._inbox.put(event)
        self.input_closed()

    def input_closed(self) -> None:
        """The process takes no more input."""
        self.input.closed = True
        self._link.stop_sending()

    def disowned(self) -> None:
        """Another client has taken it over: we go on listening, and have no say in it."""
        self._own = False
        self.input_closed()

    def closed(self) -> None:
        """The stream ended well."""
        self._over = True
        self._inbox.put(Closed())
        self._inbox.close()

    def failed(self, link: ProcessLink, error: Exception) -> None:
        """The link broke, or the guest gave the process up."""
        if self._over or link is not self._link or link is self._broken:
            return
        self._broken = link
        if asyncio.get_running_loop().time() - self._linked_at > SETTLED:
            self._attempts = 0
        if isinstance(error, TransportError):
            self._resume()
        else:
            self._lost("transport", error)

    def begins(self, channel: int, offset: int) -> None:
        """The next output on `channel` is that from `offset`."""
        if offset < self._received[channel]:
            if self._heard:
                raise ProtocolError("the guest went back in a process's output")
            self._received[channel] = offset  # the cursor was beyond the end
        self.gap(channel, self._received[channel], offset)

    @property
    def has_exited(self) -> bool:
        """Whether the exit was reported."""
        return self._exited

    def received(self, channel: int) -> int:
        """How far into a stream we have come, in bytes."""
        return self._received[channel]

    # -- inside -------------------------------------------------------------------------------

    def _taken(self, chunk: OutputChunk) -> None:
        channel = 1 if chunk.stream == "stdout" else 2
        size = len(chunk.data)
        self._waiting[channel] -= size
        # What a broken link delivered was never counted against this one's window.
        stale = min(size, self._stale[channel])
        self._stale[channel] -= stale
        if size > stale:
            self._link.take(channel, size - stale)

    async def _writable_link(self) -> ProcessLink:
        link = self._link if self.input.closed else await self._linked()
        if self._over:
            raise BrokenPipeError(errno.EPIPE, "the process has ended or is lost")
        return link

    async def _linked(self) -> ProcessLink:
        if self._pid_here != os.getpid():
            self._adopt()
        if not self._over and self._heard and not self._link.alive:
            self.failed(self._link, TransportError("the connection to the guest broke"))
        if self._resuming is not None and not self._over:
            await asyncio.wait([self._resuming])
        return self._link

    def _adopt(self) -> None:
        """In a forked child: observe with a connection of our own; the parent stays the owner."""
        self._pid_here = os.getpid()
        self._own = False
        self.input = ProcessInput(self._writable_link, is_open=False)
        if not self._over:
            self._resume()

    def _resume(self) -> None:
        self._resuming = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        error = TransportError("the connection breaks again and again")
        while not self._over and self._attempts < ATTEMPTS:
            self._attempts += 1
            try:
                await self._attach()
            except SandboxNotFoundError as gone:
                self._lost(gone.cause or "transport", gone)
            except ProcessNotFoundError as gone:
                self._lost("transport", gone)
            except TransportError as broken:
                error = broken
            except SandboxError as refused:
                self._lost("transport", refused)
            else:
                self._check_input()
                return
        if not self._over:
            explained = await self._client.explain(error)
            cause = explained.cause if isinstance(explained, SandboxNotFoundError) else None
            self._lost(cause or "transport", explained)

    def _check_input(self) -> None:
        # One that is bound has nobody who would notice: it would wait for its input for ever.
        if self.input.lost and self._bound and not self._exited:
            self._lost("transport", TransportError("nobody knows how much of its input arrived"))

    async def _attach(self) -> None:
        arguments: dict[str, Any] = {
            "pid": self.pid,
            "stdout": self._received[1],
            "stderr": self._received[2],
        }
        if self._own:
            arguments["own"] = True
        link = ProcessLink(self, "attached")
        await self._client.open(link, "attach", arguments)
        self._link = link
        self._stale = [*self._waiting]
        await link.begun
        self._begun()
        if self._size is not None and self._own:
            _resize(link, self._size)  # it may have been lost with the link before

    def _begun(self) -> None:
        self._heard = True
        self._linked_at = asyncio.get_running_loop().time()

    def _lost(self, cause: Cause, error: Exception | None) -> None:
        self._over = True
        lost = ExecLostError(
            f"process {self.pid} was lost ({cause}): {error}",
            cause=cause,
            op="run",
            provider=self._client.provider,
            sandbox_id=self._client.sandbox_id,
        )
        lost.__cause__ = error
        self._inbox.close(lost)


def _resize(link: ProcessLink, size: TerminalSize) -> None:
    link.control(do="resize", rows=size.rows, columns=size.columns)


def _start_arguments(request: StartRequest) -> dict[str, Any]:
    command = request.command
    shell = isinstance(command, str)
    arguments: dict[str, Any] = {
        "shell" if shell else "argv": command,
        "label": (command if isinstance(command, str) else shlex.join(command))[:MAX_LABEL],
        "grace": request.grace,
        "bound": request.bound,
    }
    for name in ("cwd", "user", "timeout"):
        value = getattr(request, name)
        if value is not None:
            arguments[name] = value
    if request.env:
        arguments["env"] = dict(request.env)
    if request.stdin:
        arguments["stdin"] = True
    if request.terminal is not None:
        arguments["terminal"] = request.terminal._asdict()
    return arguments
