"""Faults around any provider: what goes wrong in the world, made to go wrong here.

>>> with injected(Refused("create", RateLimitError("later", retryable=True), times=2)):
...     sandbox = Sandbox.create("acme")     # two refusals, then it is made

Everything that is opened inside the block, by this process, gets the faults; they lie below all
that the core adds, where a real provider's own would be.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import SandboxError
from ..layers.base import Layer
from ..models import OutputChunk, SandboxInfo
from ..provider import (
    AttachRequest,
    Closed,
    Exited,
    ListRequest,
    ProcessEvent,
    ProcessStream,
    Provider,
    StartRequest,
)
from ..runtime import wrapped

__all__ = ["BrokenList", "Delivery", "Fault", "FaultyProvider", "Lost", "Refused", "injected"]

Way = Literal["cut", "duplicate", "never closed", "split", "unended"]


@dataclass(slots=True)
class Refused:
    """The first `times` calls of a method raise an error instead of being made.

    Attributes:
        op: the method of `Provider`.
        error: what is raised.
        times: how often; ``None`` is always.
        seen: how many calls there have been.
    """

    op: str
    error: SandboxError
    times: int | None = 1
    seen: int = 0


@dataclass(slots=True)
class Lost:
    """The first `times` calls of a method are made, but their answer is lost.

    Attributes:
        op: the method of `Provider`.
        error: what is raised instead of it.
        times: how often; ``None`` is always.
        seen: how many calls there have been.
    """

    op: str
    error: SandboxError
    times: int | None = 1
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What happens to the events of every process.

    Attributes:
        way: ``split`` (a byte at a time), ``duplicate`` (every chunk comes twice), ``cut`` (the
            stream breaks after the first chunk), ``unended`` (it ends without an exit), ``never
            closed`` (after the exit nothing comes any more).
        error: what a ``cut`` raises.
    """

    way: Way
    error: SandboxError | None = None


@dataclass(frozen=True, slots=True)
class BrokenList:
    """A listing fails after so many sandboxes, as when the next page cannot be had."""

    after: int
    error: SandboxError


Fault = Refused | Lost | Delivery | BrokenList


class FaultyProvider(Layer):
    """A provider with faults.

    Args:
        inner: the provider.
        faults: what is to go wrong.
    """

    def __init__(self, inner: Provider, *faults: Fault) -> None:
        super().__init__(inner)
        self.faults = faults

    async def start(self, request: StartRequest) -> ProcessStream:
        """Start a process whose events may suffer."""
        return self._suffering(await self._call("start", request))

    async def attach(self, request: AttachRequest) -> ProcessStream:
        """Attach to a process; its events may suffer."""
        return self._suffering(await self._call("attach", request))

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        """List, as far as that goes."""
        listed = 0
        broken = [fault for fault in self.faults if isinstance(fault, BrokenList)]
        async for info in self.inner.list(request):
            for fault in broken:
                if listed >= fault.after:
                    raise fault.error
            listed += 1
            yield info

    def _suffering(self, stream: ProcessStream) -> ProcessStream:
        for fault in self.faults:
            if isinstance(fault, Delivery):
                stream = _Suffering(stream, fault)
        return stream

    async def _call(self, op: str, request: Any) -> Any:
        struck = [fault for fault in self.faults if _strikes(fault, op)]
        for fault in struck:
            if isinstance(fault, Refused):
                raise fault.error
        result = await getattr(self.inner, op)(request)
        for fault in struck:
            if isinstance(fault, Lost):
                raise fault.error
        return result


def _strikes(fault: Fault, op: str) -> bool:
    if not isinstance(fault, Refused | Lost) or fault.op != op:
        return False
    fault.seen += 1
    return fault.times is None or fault.seen <= fault.times


def _faulty(op: str) -> Callable[[FaultyProvider, Any], Coroutine[Any, Any, Any]]:
    async def faulty(self: FaultyProvider, request: Any) -> Any:
        return await self._call(op, request)

    faulty.__name__ = op
    faulty.__doc__ = "Pass on, or fail."
    return faulty


for _op, _method in vars(Layer).items():
    if inspect.iscoroutinefunction(_method) and _op not in {"aclose", *vars(FaultyProvider)}:
        setattr(FaultyProvider, _op, _faulty(_op))


@dataclass
class _Suffering(ProcessStream):
    """A process whose events do not arrive as they should."""

    stream: ProcessStream
    fault: Delivery
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.pid = self.stream.pid

    async def events(self) -> AsyncIterator[ProcessEvent]:
        way = self.fault.way
        async for event in self.stream.events():
            if isinstance(event, OutputChunk):
                for piece in _pieces(event, way):
                    yield piece
                if way == "cut" and self.fault.error is not None:
                    raise self.fault.error
            elif not (way == "unended" and isinstance(event, Exited | Closed)):
                if way == "never closed" and isinstance(event, Closed):
                    await asyncio.get_running_loop().create_future()
                yield event

    async def send_stdin(self, data: bytes) -> None:
        await self.stream.send_stdin(data)

    async def close_stdin(self) -> None:
        await self.stream.close_stdin()

    async def signal(self, signum: int) -> None:
        await self.stream.signal(signum)

    async def terminate(self, grace: float = 0.5) -> None:
        await self.stream.terminate(grace)

    async def detach(self) -> None:
        await self.stream.detach()


def _pieces(chunk: OutputChunk, way: Way) -> Iterator[OutputChunk]:
    if way != "split":
        yield chunk
        if way == "duplicate":
            yield chunk
        return
    for index in range(len(chunk.data)):
        piece = chunk.data[index : index + 1]
        yield replace(chunk, data=piece, offset=chunk.offset + index)


@contextmanager
def injected(*faults: Fault) -> Iterator[None]:
    """Give these faults to every provider that is opened inside the block, in this process."""
    with wrapped(lambda provider: FaultyProvider(provider, *faults)):
        yield
