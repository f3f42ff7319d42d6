"""One connection to a guest: the handshake, the frames of many streams, and nothing trusted.

Whatever the guest sends that the protocol does not allow ends this connection, with all its
streams, and nothing else. Memory is bounded: what arrives by the credit that consumers grant,
what leaves by `congested`, which senders obey.
"""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, cast

from ..errors import InvalidRequestError, ProtocolError, TransportError
from ..forking import inherited
from .agent import frames
from .agent.frames import Buffer, Decoder, Frame, FrameError
from .fields import Fields, integer
from .stream import GuestStream

__all__ = ["GuestConnection"]

CLOSE_TIMEOUT = 1.0
"""Seconds that what was written last may take to leave when a connection is closed."""


_thread = threading.local()


def _arrivals() -> memoryview:
    """Where this thread's connections read to, one after another: each takes it out at once.

    To make one for each connection, or each read, takes longer than to read.
    """
    kept: memoryview | None = getattr(_thread, "arrivals", None)
    if kept is None:
        kept = _thread.arrivals = memoryview(bytearray(frames.WINDOW))
    return kept


class GuestConnection(asyncio.Protocol, asyncio.BufferedProtocol):
    """The client's protocol object, for a transport of any kind.

    Asyncio's own read into a buffer of ours; others bring bytes.

    Args:
        token: proves to the guest who we are, where the transport does not.
        on_paused: called when the guest says that it is about to stand still.
    """

    def __init__(
        self, token: str = "", on_paused: Callable[[GuestConnection], None] = lambda _: None
    ) -> None:
        loop = asyncio.get_running_loop()
        self._token = token
        self._on_paused = on_paused
        self._paused_at: float | None = None
        self._pid = os.getpid()
        self.transport: asyncio.Transport | None = None
        """What carries the connection, once it is made."""
        self._decoder = Decoder()
        self._streams: dict[int, GuestStream] = {}
        self._last = 0
        self._greeted: asyncio.Future[Fields] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._failure: TransportError | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._owing: set[GuestStream] = set()
        self._handlers: dict[int, Callable[[GuestStream, Frame], None]] = {
            frames.DATA: GuestStream.data_received,
            frames.EVENT: _event,
            frames.CREDIT: _credit,
            frames.RESULT: self._result,
            frames.ERROR: self._error,
        }

    # -- for clients --------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether streams can be opened: greeted, not lost, and made by this very process."""
        return (
            self._failure is None
            and self._greeted.done()
            and self._pid == os.getpid()
            and self.transport is not None
            and not self.transport.is_closing()
        )

    @property
    def congested(self) -> bool:
        """Whether the transport has more to send than it likes; see `drained`."""
        return not self._writable.is_set()

    @property
    def paused(self) -> bool:
        """Whether the guest stands still, as far as is known."""
        return self._paused_at is not None

    def has_streams(self) -> bool:
        """Whether any operation is in progress."""
        return bool(self._streams)

    def stand_still(self) -> None:
        """The sandbox is paused, or about to be. Idempotent."""
        if self._paused_at is None and self._failure is None:
            self._paused_at = asyncio.get_running_loop().time()
            for stream in list(self._streams.values()):
                stream.on_paused()

    def go_on(self) -> None:
        """The sandbox is not paused, or not any more. Idempotent."""
        if self._paused_at is not None:
            after = asyncio.get_running_loop().time() - self._paused_at
            self._paused_at = None
            for stream in list(self._streams.values()):
                stream.on_resumed(after)

    async def ready(self) -> Fields:
        """What the guest says of its sandbox, once it has greeted us.

        Raises:
            ProtocolError: it speaks another protocol.
            TransportError: the connection broke first.
        """
        return await asyncio.shield(self._greeted)

    async def drained(self) -> None:
        """Wait until the transport takes more, or is gone."""
        await self._writable.wait()

    def open(self, stream: GuestStream, op: str, arguments: Fields) -> None:
        """Begin an operation.

        Raises:
            InvalidRequestError: the arguments are too large for one frame.
            TransportError: the connection is gone; nothing was sent.
        """
        if not self.usable:
            raise self.failure(written=False)
        number = self._last + 1
        try:
            frame = frames.encode_json(frames.OPEN, number, {"op": op, **arguments})
        except FrameError as error:
            raise InvalidRequestError(
                f"the arguments of {op!r} take more than {frames.MAX_JSON} bytes"
            ) from error
        self._last = number
        self._streams[number] = stream
        stream.opened(self, number, op)
        self._write(frame)

    async def close(self) -> None:
        """Say goodbye, so that what is bound to this connection ends now. Idempotent."""
        if self._pid != os.getpid() or self.transport is None:
            return
        if not self.transport.is_closing():
            self._write(frames.encode(frames.BYE, 0))
            self.transport.close()
        self._lose(TransportError("this client closed the connection"))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._closed)

    def abort(self) -> None:
        """Drop the connection without a word; the guest will take it for a broken transport."""
        if self.transport is not None:
            self.transport.abort()

    def failure(self, *, written: bool = True) -> TransportError:
        """A new exception that says why the connection is gone."""
        reason = self._failure.message if self._failure else "the connection to the guest broke"
        kind = type(self._failure) if self._failure else TransportError
        return kind(reason, outcome="unknown" if written else "not_started")

    def held_sockets(self) -> tuple[Any, ...]:
        """The socket the connection runs over, where there is one (see `forking`)."""
        transport = self.transport
        found = transport.get_extra_info("socket") if transport is not None else None
        return () if found is None else (found,)

    # -- for streams --------------------------------------------------------------------------

    def send_data(self, number: int, data: bytes | memoryview, fin: bool = False) -> None:
        """A DATA frame on the main channel; the stream has seen to credit and `congested`."""
        self._write(frames.encode(frames.DATA, number, data, frames.MAIN, fin))

    def send_json(self, kind: int, number: int, value: dict[str, Any]) -> None:
        """A frame with a JSON payload."""
        self._write(frames.encode_json(kind, number, value))

    def send_bare(self, kind: int, number: int) -> None:
        """A frame without a payload."""
        self._write(frames.encode(kind, number))

    def send_credit(self, number: int, channel: int, size: int) -> None:
        """A CREDIT frame; the stream has seen to `congested`."""
        self._write(frames.encode_credit(number, channel, size))

    def grant_later(self, stream: GuestStream) -> None:
        """Have a stream `grant` when the connection is not congested any more."""
        self._owing.add(stream)

    def forget(self, number: int) -> None:
        """Ignore whatever else comes for a stream."""
        self._streams.pop(number, None)

    # -- for the transport --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transports are of asyncio's classes: uvloop's are not.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=frames.WINDOW)
        inherited.add(self)
        hello = {"major": frames.MAJOR, "minor": frames.MINOR, "features": [frames.PAUSE]}
        if self._token:
            hello["token"] = self._token
        self.send_json(frames.HELLO, 0, hello)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _arrivals()

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(_arrivals()[:nbytes])

    def data_received(self, data: Buffer) -> None:
        try:
            for frame in self._decoder.feed(data):
                if self._failure is not None:
                    return
                self._dispatch(frame)
        except FrameError as error:
            self._violated(ProtocolError(f"the guest broke the protocol: {error}"))
        except ProtocolError as error:
            self._violated(error)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        owing, self._owing = self._owing, set()
        for stream in owing:
            stream.grant()

    def connection_lost(self, exc: Exception | None) -> None:
        inherited.discard(self)
        self._lose(TransportError(f"the connection to the guest broke: {exc or 'end of stream'}"))
        if not self._closed.done():
            self._closed.set_result(None)

    # -- inside -------------------------------------------------------------------------------

    def _dispatch(self, frame: Frame) -> None:
        if not self._greeted.done():
            self._greet(frame)
            return
        handler = self._handlers.get(frame.type)
        if handler is None:
            raise ProtocolError(f"the guest sent a frame of type {frame.type}, which is ours")
        if frame.stream == 0 and frame.type == frames.EVENT:
            self._announced(frame.json())
        stream = self._streams.get(frame.stream)
        if stream is not None:
            handler(stream, frame)

    def _announced(self, event: Fields) -> None:
        kind = event.get("event")
        if kind == "paused":
            self.stand_still()
            self._on_paused(self)
        elif kind == "resumed":
            self.go_on()

    def _greet(self, frame: Frame) -> None:
        if frame.type != frames.HELLO:
            raise ProtocolError("the guest did not greet")
        hello = frame.json()
        major = integer(hello, "major")
        if major != frames.MAJOR:
            raise ProtocolError(f"the guest speaks version {major}, this client {frames.MAJOR}")
        sandbox = hello.get("sandbox")
        self._greeted.set_result(sandbox if isinstance(sandbox, dict) else {})

    def _result(self, stream: GuestStream, frame: Frame) -> None:
        result = frame.json()
        self.forget(frame.stream)
        try:
            stream.result_received(result)
        except ProtocolError as error:
            stream.connection_lost(error)
            raise

    def _error(self, stream: GuestStream, frame: Frame) -> None:
        error = frame.json()
        self.forget(frame.stream)
        stream.error_received(error)

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def _violated(self, error: ProtocolError) -> None:
        self._lose(error)
        self.abort()

    def _lose(self, error: TransportError) -> None:
        if self._failure is not None:
            return
        self._failure = error
        self._owing.clear()
        if not self._greeted.done():
            self._greeted.set_exception(error)
            self._greeted.exception()  # nobody need be waiting for it
        self._writable.set()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.connection_lost(self.failure())


def _event(stream: GuestStream, frame: Frame) -> None:
    stream.on_event(frame.json(), len(frame.payload))


def _credit(stream: GuestStream, frame: Frame) -> None:
    if frame.channel == frames.MAIN:
        stream.credit_received(frame.credit())
