"""A WebSocket that a client has opened."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from ..refusal import Refusal
from ..websocket import refuse

__all__ = ["Socket"]

NORMAL, BROKEN = 1000, 1011


class Socket:
    """Messages both ways.

    Args:
        scope: of the request that opens it.
        receive: gives its messages.
        send: takes ours.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._closed = False

    @property
    def offered(self) -> list[str]:
        """The subprotocols that the client names."""
        return list(self._scope.get("subprotocols") or ())

    async def accept(self, subprotocol: str | None = None) -> None:
        """Open it."""
        await self._receive()
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})

    async def refuse(self, refusal: Refusal) -> None:
        """Do not open it."""
        await refuse(refusal, self._scope, self._receive, self._send)

    async def message(self) -> bytes | str | None:
        """The next message; ``None`` once the client has closed it."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            return None
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def left(self) -> None:
        """Return when the client has closed it; what it sends is nothing to us."""
        while await self.message() is not None:
            continue

    async def send(self, message: bytes | str) -> None:
        """Send one; nothing where the client has closed it."""
        if not self._closed:
            kind = "text" if isinstance(message, str) else "bytes"
            await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close it. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})
