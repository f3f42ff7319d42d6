"""The stream of a cell: what the guest says there, checked, put together and made ours."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from ..errors import ProtocolError, SandboxError, TransportError
from ..models import CodeError, Result
from ..provider import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    Paused,
    Resumed,
)
from .agent.frames import FrameError, decode_json
from .fields import Fields, boolean, integer, text
from .inbox import Inbox
from .stream import GuestStream

__all__ = ["CodeLink"]

MAX_WAITING = 32 << 20
"""Bytes of results that may wait for the consumer, or to be put together."""

EVENT_COST = 512
"""Bytes that an event takes beside its content."""

MAX_CODE = 255
MAX_SIGNAL = 64


class CodeLink(GuestStream):
    """The stream of a `run_code`.

    Attributes:
        inbox: events, with the bytes that each is counted for.
        over: done when the guest says that the cell has ended.
    """

    channels = frozenset({1, 2})

    def __init__(self) -> None:
        super().__init__()
        self.inbox: Inbox[tuple[CodeEvent, int]] = Inbox()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = 0
        self._parts: defaultdict[int, dict[str, list[str]]] = defaultdict(dict)
        self._part_bytes = 0

    def taken(self, event: CodeEvent, size: int) -> None:
        """The consumer took an event out of the inbox."""
        if type(event) is CodeOutput:
            self.take(1 if event.stream == "stdout" else 2, size)
        else:
            self._waiting -= size

    def on_data(self, channel: int, data: bytes) -> None:
        output = CodeOutput("stdout" if channel == 1 else "stderr", data)
        self.inbox.put((output, len(data)))

    def on_event(self, event: Fields, size: int) -> None:
        kind = event.get("event")
        size += EVENT_COST
        if kind == "result":
            size += self._part_bytes
            self._waiting -= self._part_bytes
            self._part_bytes = 0
            self._add(CodeResult(Result(self._data(event), boolean(event, "main"))), size)
        elif kind == "result_part":
            parts = self._parts[integer(event, "id")]
            parts.setdefault(text(event, "mime"), []).append(text(event, "part"))
            self._part_bytes += size
            self._count(size)
        elif kind == "raised":
            name, value, trace = (text(event, key) for key in ("name", "value", "traceback"))
            number = integer(event, "signal", 1, MAX_SIGNAL) if event.get("signal") else None
            self._add(CodeRaised(CodeError(name, value, trace), number), size)

    def on_paused(self) -> None:
        self._add(Paused(), EVENT_COST)

    def on_resumed(self, after: float) -> None:
        self._add(Resumed(after), EVENT_COST)

    def on_result(self, result: Fields) -> None:
        code = result.get("exit_code")
        ended = CodeEnded(
            context=text(result, "context"),
            execution_count=integer(result, "execution_count"),
            timed_out=boolean(result, "timed_out"),
            restarted=boolean(result, "restarted"),
            exit_code=None if code is None else integer(result, "exit_code", 0, MAX_CODE),
        )
        self.inbox.put((ended, 0))
        self._finish()

    def on_error(self, error: SandboxError) -> None:
        self._finish(error)

    def on_lost(self, error: TransportError) -> None:
        self._finish(error)

    def _data(self, event: Fields) -> dict[str, Any]:
        data = event.get("data")
        if type(data) is not dict:
            raise ProtocolError("the guest sent a result without data")
        if event.get("parts") is None:
            return data
        as_json = event.get("json_parts", ())
        parts = self._parts.pop(integer(event, "parts"), {})
        self._parts.clear()
        for mime, pieces in parts.items():
            content = "".join(pieces)
            data[mime] = _parse(content) if mime in as_json else content
        return data

    def _add(self, event: CodeEvent, size: int) -> None:
        self.inbox.put((event, size))
        self._count(size)

    def _count(self, size: int) -> None:
        self._waiting += size
        if self._waiting > MAX_WAITING:
            self.reset()
            self._finish(
                SandboxError(
                    f"the cell showed more than {MAX_WAITING >> 20} MiB that nobody took",
                    outcome="unknown",
                )
            )

    def _finish(self, error: SandboxError | None = None) -> None:
        self._parts.clear()
        self.inbox.close(error)
        if self.over.done():
            return
        if isinstance(error, TransportError):
            self.over.set_exception(error)
            self.over.exception()  # nobody need be waiting for it
        else:
            self.over.set_result(None)


def _parse(content: str) -> Any:
    try:
        return decode_json(f'{{"content":{content}}}'.encode())["content"]
    except FrameError as error:
        raise ProtocolError(f"the guest sent JSON in parts that is none: {error}") from error
