"""How long a client may take for the head of a request."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD", "PatientProtocol"]

HEAD = 30.0
"""Seconds from the first byte, or from the connection, to the end of a request's head."""


class PatientProtocol(H11Protocol):
    """Ends connections whose client does not say what it wants.

    uvicorn waits for ever where a head comes byte by byte, or not at all, and every such
    connection takes a descriptor. What a body may take is up to whoever reads it.

    Args:
        head: seconds for a request's head.
    """

    def __init__(self, *arguments: Any, head: float = HEAD, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = head
        self._losing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, unless the head is there now."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._losing is None:
            self._losing = self.loop.call_later(self._head, self._lose)

    def _stop_waiting(self) -> None:
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None

    def _lose(self) -> None:
        self._losing = None
        # One that answers, or that waits between two requests, is not to blame.
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
