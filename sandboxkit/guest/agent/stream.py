"""One operation on a connection, as its handler sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from . import frames
from .errors import ERRNO, OpError

if TYPE_CHECKING:
    from .connection import Connection

Message = Dict[str, Any]


class Stream:
    """An open operation. It ends with exactly one `result`, `error` or `fail`.

    A handler ``handler(stream, arguments)`` is called once, when the client opens the stream; it
    answers at once or sets callbacks, keeps the stream, and answers later. It may raise `OpError`
    or `OSError` instead of answering. It must not block. After the end every method is a no-op.

    Attributes:
        id: the client's number for it.
        connection: who asked.
        ended: whether RESULT or ERROR was sent, or the connection lost.
        on_data: ``(channel, bytes, fin)``: the client sent DATA. Call `grant` once the bytes were
            consumed, or the client can send no more than one window.
        on_control: ``(message)``: the client sent CONTROL.
        on_reset: ``()``: the client lets go; answer soon. Unset: answered with an empty RESULT.
        on_lost: ``(clean)``: the connection is gone, with BYE or without; nothing can be sent any
            more, clean up. Called only if the stream has not ended.
        on_writable: ``()``: `room` was 0 for some channel and may not be so now.
    """

    __slots__ = (
        "_credit",
        "_finished",
        "_window",
        "connection",
        "ended",
        "id",
        "on_control",
        "on_data",
        "on_lost",
        "on_reset",
        "on_writable",
    )

    def __init__(self, connection: Connection, number: int) -> None:
        self.id = number
        self.connection = connection
        self.ended = False
        self.on_data: Optional[Callable[[int, bytes, bool], None]] = None
        self.on_control: Optional[Callable[[Message], None]] = None
        self.on_reset: Optional[Callable[[], None]] = None
        self.on_lost: Optional[Callable[[bool], None]] = None
        self.on_writable: Optional[Callable[[], None]] = None
        self._credit: List[int] = [frames.WINDOW] * 3
        self._window = frames.WINDOW
        self._finished = False

    # -- to the client --

    def event(self, message: Message) -> None:
        """Send an EVENT.

        Raises:
            FrameError: it is larger than 1 MiB as JSON.
        """
        if not self.ended:
            self.connection.send(frames.encode_json(frames.EVENT, self.id, message))

    def room(self, channel: int) -> int:
        """How many bytes `data` takes on this channel now.

        At 0, for want of credit or because the connection is full, `on_writable` will be called.
        """
        if self.ended:
            return 0
        if self.connection.congested or not self._credit[channel]:
            self.connection.wait_writable(self)
            return 0
        return self._credit[channel]

    def data(self, channel: int, payload: frames.Buffer, fin: bool = False) -> None:
        """Send DATA, at most `room` bytes and at most `frames.MAX_DATA`; FIN needs no room.

        The payload must not change afterwards.

        Raises:
            ValueError: there is no room for it.
        """
        if self.ended:
            return
        size = len(payload)
        if size > min(self._credit[channel], frames.MAX_DATA):
            raise ValueError("DATA beyond the credit")
        self._credit[channel] -= size
        self.connection.send(frames.header(frames.DATA, self.id, size, channel, fin))
        if size:
            self.connection.send(payload)

    def grant(self, count: int, channel: int = frames.MAIN) -> None:
        """Let the client send `count` more bytes, for so many of its bytes were consumed."""
        if not self.ended and count and not self._finished:
            self._window += count
            self.connection.send(frames.encode_credit(self.id, channel, count))

    def result(self, message: Message) -> None:
        """End the stream well.

        Raises:
            FrameError: it is larger than 1 MiB as JSON.
        """
        if not self.ended:
            self._end(frames.encode_json(frames.RESULT, self.id, message))

    def error(
        self,
        code: str,
        message: str,
        errno: Optional[int] = None,
        path: Optional[str] = None,
    ) -> None:
        """End the stream badly; codes are in `errors`."""
        self.fail(OpError(code, message, errno, path))

    def fail(self, error: Exception) -> None:
        """End the stream badly with an `OpError` or `OSError`."""
        if self.ended:
            return
        if isinstance(error, OSError):
            error = OpError.of(error)
        elif not isinstance(error, OpError):
            error = OpError(ERRNO, str(error))
        self._end(frames.encode_json(frames.ERROR, self.id, error.payload()))

    def _end(self, frame: bytes) -> None:
        self.connection.send(frame)
        self.ended = True
        self.connection.forget(self)
        self._drop_callbacks()

    # -- from the client; called by the connection --

    def credited(self, channel: int, count: int) -> None:
        """The client grants `count` bytes on `channel`."""
        # A sum above 2**40 is of no use to anybody; the bound keeps the number small.
        self._credit[channel] = min(self._credit[channel] + count, 1 << 40)

    def received(self, channel: int, payload: bytes, fin: bool) -> None:
        """The client sent DATA.

        Raises:
            FrameError: beyond the credit, after FIN, or not on the main channel.
        """
        if channel != frames.MAIN:
            raise frames.FrameError(f"DATA on channel {channel}")
        if self._finished:
            raise frames.FrameError("DATA after FIN")
        if len(payload) > self._window:
            raise frames.FrameError("DATA beyond the credit")
        self._window -= len(payload)
        self._finished = fin
        if self.on_data is not None:
            self.on_data(channel, payload, fin)

    def reset(self) -> None:
        """The client lets go."""
        if self.on_reset is not None:
            self.on_reset()
        else:
            self.result({})

    def lost(self, clean: bool) -> None:
        """The connection is gone."""
        self.ended = True
        callback = self.on_lost
        self._drop_callbacks()
        if callback is not None:
            callback(clean)

    def _drop_callbacks(self) -> None:
        # They refer to handlers that refer to the stream.
        self.on_data = self.on_control = self.on_reset = None
        self.on_lost = self.on_writable = None
