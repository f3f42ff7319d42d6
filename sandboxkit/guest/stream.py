"""One operation on a connection, from its OPEN to its one RESULT or ERROR."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ProtocolError, SandboxError, TransportError
from .agent.frames import CONTROL, MAX_DATA, RESET, WINDOW, Frame
from .fields import Fields
from .wire import guest_error

if TYPE_CHECKING:
    from .connection import GuestConnection

__all__ = ["GuestStream"]

GRANT = WINDOW // 4
MAX_CREDIT = 2**40


class GuestStream:
    """The client's end of a stream. Subclasses say what to do with what arrives.

    The ``on_`` methods are called from the event loop as frames arrive and must not wait. One of
    `on_result`, `on_error` and `on_lost` is called, once and last, unless `reset` came first.

    Attributes:
        channels: on which the guest may send data.
        ended: nothing arrives any more.
        sent: bytes of data sent on the main channel.
    """

    channels: ClassVar[frozenset[int]] = frozenset()

    def __init__(self) -> None:
        self.ended = False
        self.sent = 0
        self._connection: GuestConnection | None = None
        self._number = 0
        self._op = ""
        self._allowed = [WINDOW, WINDOW, WINDOW]
        self._taken = [0, 0, 0]
        self._finished = [False, False, False]
        self._credit = WINDOW
        self._turn: asyncio.Future[None] | None = None
        self._sending = asyncio.Lock()

    # -- what arrives -------------------------------------------------------------------------

    def on_data(self, channel: int, data: bytes) -> None:
        """Bytes arrived. They count against the window until `take`."""

    def on_end(self, channel: int) -> None:
        """The guest said that no more data comes on this channel."""

    def on_event(self, event: Fields, size: int) -> None:
        """The guest says what happened, in `size` bytes of JSON."""

    def on_result(self, result: Fields) -> None:
        """The operation ended well."""

    def on_error(self, error: SandboxError) -> None:
        """The operation ended badly."""

    def on_lost(self, error: TransportError) -> None:
        """The connection broke before the operation ended."""

    def on_paused(self) -> None:
        """The sandbox is about to stand still."""

    def on_resumed(self, after: float) -> None:
        """It goes on, `after` seconds later."""

    # -- what is sent -------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether messages still reach the guest's end."""
        return not self.ended and self._connection is not None and self._connection.usable

    def finished(self, channel: int) -> bool:
        """Whether the guest said that no more data comes on this channel."""
        return self._finished[channel]

    def take(self, channel: int, size: int) -> None:
        """The consumer took `size` bytes: the guest may send as many more."""
        self._taken[channel] += size
        if self._taken[channel] >= GRANT:
            self.grant()

    def grant(self) -> None:
        """Send the credit that is due, or have it sent when the guest reads again."""
        connection = self._connection
        if self.ended or connection is None:
            return
        if connection.congested:
            connection.grant_later(self)
            return
        for channel, taken in enumerate(self._taken):
            if taken >= GRANT and not self._finished[channel]:
                self._taken[channel] = 0
                self._allowed[channel] += taken
                connection.send_credit(self._number, channel, taken)

    async def send(self, data: bytes | memoryview) -> None:
        """Send on the main channel; waits for the guest's credit and the transport.

        Raises:
            BrokenPipeError: the stream has ended, or `stop_sending` was called.
            TransportError: the connection is gone.
        """
        async with self._sending:  # what two send at once is not mixed, and nobody's turn is lost
            await self._send(memoryview(data).cast("B"))

    async def _send(self, view: memoryview) -> None:
        while view:
            connection = self._check_open()
            if not self._credit:
                self._turn = asyncio.get_running_loop().create_future()
                await self._turn
            elif connection.congested:
                await connection.drained()
            else:
                size = min(len(view), MAX_DATA, self._credit)
                self._credit -= size
                self.sent += size
                connection.send_data(self._number, view[:size])
                view = view[size:]

    def send_end(self) -> None:
        """Say that no more data follows on the main channel."""
        if self.alive and self._connection is not None:
            self._connection.send_data(self._number, b"", fin=True)

    def stop_sending(self) -> None:
        """The guest takes no more: a `send` that waits raises `BrokenPipeError`."""
        self._credit = -1
        self._wake()

    def control(self, **message: Any) -> None:
        """Send a message to the running operation; ignored once it has ended."""
        if self.alive and self._connection is not None:
            self._connection.send_json(CONTROL, self._number, message)

    def reset(self, forget: bool = True) -> None:
        """Let go of the operation. With `forget` nothing arrives any more. Idempotent."""
        if not self.alive or self._connection is None:
            return
        self._connection.send_bare(RESET, self._number)
        if forget:
            self._connection.forget(self._number)
            self._end()

    # -- the connection's side ----------------------------------------------------------------

    def opened(self, connection: GuestConnection, number: int, op: str) -> None:
        """The connection took the stream on."""
        self._connection = connection
        self._op = op
        self._number = number

    def data_received(self, frame: Frame) -> None:
        """A DATA frame; raises `ProtocolError` where it may not be."""
        channel = frame.channel
        size = len(frame.payload)
        if self._finished[channel] or channel not in self.channels:
            raise ProtocolError(f"the guest sent data on channel {channel}, which takes none")
        if size > self._allowed[channel]:
            raise ProtocolError("the guest sent more than it had credit for")
        self._allowed[channel] -= size
        if size:
            self.on_data(channel, frame.payload)
        if frame.fin:
            self._finished[channel] = True
            self.on_end(channel)

    def credit_received(self, granted: int) -> None:
        """A CREDIT frame for the main channel; raises `ProtocolError` if it overflows."""
        if self._credit < 0:
            return
        self._credit += granted
        if self._credit > MAX_CREDIT:
            raise ProtocolError("the guest granted credit beyond measure")
        self._wake()

    def result_received(self, result: Fields) -> None:
        """The RESULT frame."""
        self._end()
        self.on_result(result)

    def error_received(self, error: Fields) -> None:
        """The ERROR frame."""
        self._end()
        self.on_error(guest_error(self._op, error))

    def connection_lost(self, error: TransportError) -> None:
        """The connection is gone."""
        self._end()
        self.on_lost(error)

    def _check_open(self) -> GuestConnection:
        connection = self._connection
        if connection is None or not connection.usable:
            raise (connection.failure() if connection else TransportError("not connected"))
        if self.ended or self._credit < 0:
            raise BrokenPipeError(errno.EPIPE, "the other end takes no more")
        return connection

    def _end(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
