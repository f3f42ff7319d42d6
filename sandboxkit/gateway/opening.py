"""How a WebSocket is opened, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

__all__ = ["OpeningProtocol"]


class OpeningProtocol(WebSocketsSansIOProtocol):
    """Takes a refusal for an answer, and tells an application that its client has left.

    uvicorn complains in its log that nobody answered where an application answers an opening with
    an error. And between a client's end and what tells of it, it passes over an application's
    consent in silence, and takes the first message after that for a mistake.
    """

    async def send(self, message: ASGISendEvent) -> None:
        """Take a message of the application's.

        Raises:
            ClientDisconnected: there is nobody whom it could be sent to.
        """
        if not self.handshake_complete and self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
