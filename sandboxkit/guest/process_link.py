"""One stream of a process: what the guest says there, checked and made ours."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from ..errors import ProtocolError, SandboxError, TransportError
from ..provider import Exited, Paused, Resumed
from .fields import Fields, boolean, integer
from .stream import GuestStream

if TYPE_CHECKING:
    from .process import GuestProcess

__all__ = ["ProcessLink"]

MAX_SIGNAL = 64
MAX_CODE = 255
MAX_PID = 2**31 - 1


class ProcessLink(GuestStream):
    """The stream of a `start` or `attach`. A process has one after the other as links break.

    Attributes:
        begun: done when the guest has said that the process is there.
        input_from: the offset, in the process's input, of what is sent here.
        input_ended: whether the end of the input was sent here.
    """

    channels = frozenset({1, 2})

    def __init__(self, process: GuestProcess, first: Literal["started", "attached"]) -> None:
        super().__init__()
        self._first = first
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.input_from = 0
        self.input_ended = False
        self._process = process

    def on_data(self, channel: int, data: bytes) -> None:
        if not self.begun.done():
            raise ProtocolError("the guest sent output of a process it has not started")
        self._process.output(channel, data)

    def on_event(self, event: Fields, size: int) -> None:
        kind = event.get("event")
        if not self.begun.done() or kind == self._first:
            self._begin(event)
        elif kind == "exited":
            self._process.exited(_exited(event))
        elif kind == "stdin_closed":
            self._process.input_closed()
        elif kind == "disowned":
            self._process.disowned()
        elif kind == "gap":
            self._gap(event)

    def on_result(self, result: Fields) -> None:
        if not self.begun.done() or not self._process.has_exited:
            raise ProtocolError("the guest ended a process's stream before the process")
        self._process.closed()

    def on_error(self, error: SandboxError) -> None:
        self._fail(error)

    def on_lost(self, error: TransportError) -> None:
        self._fail(error)

    def on_paused(self) -> None:
        self._process.paused(Paused())

    def on_resumed(self, after: float) -> None:
        self._process.paused(Resumed(after))

    def _begin(self, event: Fields) -> None:
        kind = event.get("event")
        if self.begun.done() or kind != self._first:
            raise ProtocolError(f"the guest sent {kind!r:.80} where it may not be")
        if kind == "started":
            self._process.pid = integer(event, "pid", 1, MAX_PID)
        else:
            integer(event, "pid", self._process.pid, self._process.pid)
            for channel, name in ((1, "stdout"), (2, "stderr")):
                self._process.begins(channel, integer(event, name))
            self._process.terminal = boolean(event, "terminal")
            reached = None if event.get("stdin") is None else integer(event, "stdin")
            self._process.input.resumed(self, reached)
        self.begun.set_result(None)

    def _gap(self, event: Fields) -> None:
        channel = integer(event, "channel", 1, 2)
        start = integer(event, "start", self._process.received(channel))
        self._process.gap(channel, start, integer(event, "end", start))

    def _fail(self, error: SandboxError) -> None:
        if self.begun.done():
            self._process.failed(self, error)
        else:
            self.begun.set_exception(error)


def _exited(event: Fields) -> Exited:
    code = None if event.get("code") is None else integer(event, "code", 0, MAX_CODE)
    signal = None if event.get("signal") is None else integer(event, "signal", 1, MAX_SIGNAL)
    if code is None and signal is None:
        raise ProtocolError("the guest reported an exit without a code or signal")
    return Exited(code, signal, boolean(event, "timed_out"), boolean(event, "oom"))
