"""HTTP/1.1 events over any byte stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import h11

__all__ = ["MAX_HEAD", "Wire"]

MAX_HEAD = 65536
"""Bytes of a message's head, or of one chunk's."""

_Sendable = h11.Request | h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage
Received = _Sendable | h11.ConnectionClosed | type[h11.PAUSED]


class Wire:
    """One end of a connection.

    Args:
        role: ``h11.CLIENT`` or ``h11.SERVER``: who we are.
        receive: reads some bytes, none at the end.
        send: writes bytes, and waits while the other side does not read.

    Attributes:
        http: the state of the connection.
    """

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        receive: Callable[[], Awaitable[bytes]],
        send: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        self._receive = receive
        self._send = send

    async def event(self) -> Received:
        """The next thing that the other side says.

        Raises:
            h11.RemoteProtocolError: it is not HTTP.
            ConnectionError: the connection broke.
        """
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            await self.more()

    async def more(self) -> bool:
        """Take in more bytes without looking at them; false at the end."""
        data = await self._receive()
        self.http.receive_data(data)
        return bool(data)

    async def send(self, event: Any) -> None:
        """Say something.

        Raises:
            h11.LocalProtocolError: it may not be said now.
            ConnectionError: the connection broke.
        """
        data = self.http.send(event)
        if data:
            await self._send(data)

    def left(self) -> bytes:
        """Bytes that were received and belong to no event yet."""
        return bytes(self.http.trailing_data[0])
