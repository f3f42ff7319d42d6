"""How long a client may take for the head of a request, and how large that may be."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .joined import JoinedTransport

__all__ = ["HEAD", "MAX_HEAD", "PatientProtocol"]

HEAD = 30.0
"""Seconds from the first byte, or from the connection, to the end of a request's head."""
MAX_HEAD = 64 << 10
"""Bytes of a head, and of all that comes in a body and is none of it."""


class PatientProtocol(HttpToolsProtocol):
    """Ends connections whose client does not say what it wants, or does not come to an end.

    uvicorn waits for ever where a head comes byte by byte, or not at all, and every such
    connection takes a descriptor; its parser keeps a head of any size. What a body may take is up
    to whoever reads it.

    Args:
        head: seconds for a request's head.
    """

    def __init__(self, *arguments: Any, head: float = HEAD, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = head
        self._losing: asyncio.TimerHandle | None = None
        self._awaiting_head = True
        self._unheard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(JoinedTransport(transport, self.loop))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, unless the head is there now."""
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > MAX_HEAD and not self.transport.is_closing():
            self._refuse()
        if self._awaiting_head:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Let a WebSocket have the connection itself."""
        self._stop_waiting()
        assert isinstance(self.transport, JoinedTransport)
        self.transport = self.transport.plain
        super().handle_websocket_upgrade()

    # -- for the parser -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins."""
        self._awaiting_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Those that follow a body belong to nothing that we serve."""
        if self._awaiting_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._awaiting_head = False
        self._unheard = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A body has ended."""
        self._unheard = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is whole: send it, there is nothing to wait for."""
        if isinstance(self.transport, JoinedTransport):
            self.transport.flush()
        super().on_response_complete()

    # -- inside -------------------------------------------------------------------------------

    def _refuse(self) -> None:
        if self._is_answering():
            self.transport.abort()
        else:
            self.send_400_response("The head of the request is too large.")

    def _wait(self) -> None:
        if self._losing is None and not self.transport.is_closing():
            self._losing = self.loop.call_later(self._head, self._lose)

    def _stop_waiting(self) -> None:
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None

    def _lose(self) -> None:
        self._losing = None
        # One that answers, or that waits between two requests, is not to blame.
        if self._awaiting_head and not self._is_answering():
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first
        return cycle is not None and not cycle.response_complete
