"""What has happened, told to clients as it happens: Socket.IO over a WebSocket.

Of Engine.IO 4 and Socket.IO 5 this has what a client needs that only listens: the opening, a
sign of life now and then, and events.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from typing import Any

from ..keys import KeyRing
from .sockets import Socket

__all__ = ["Events"]

BEAT = 25.0
"""Seconds between two signs of life."""
PATIENCE = 20.0
"""Seconds for an answer to one, and for the client to say who it is."""
AHEAD = 1000
"""Events that may wait for a client; one that takes none for so long is left."""

_OPEN, _PING, _MESSAGE = "0", "2", "4"
_CONNECT, _EVENT, _REFUSED = "0", "2", "4"


class Events:
    """Tells each tenant's clients what happens to its sandboxes.

    Args:
        keys: by which clients say who they are.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._listening: dict[str, set[asyncio.Queue[str]]] = {}

    def tell(self, tenant: str, name: str, data: dict[str, Any]) -> None:
        """Something has happened to what is a tenant's."""
        message = _MESSAGE + _EVENT + json.dumps([name, data], separators=(",", ":"))
        for queue in self._listening.get(tenant, ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(message)

    async def serve(self, socket: Socket) -> None:
        """One client, until it leaves."""
        await socket.accept()
        opening = {
            "sid": secrets.token_urlsafe(12),
            "upgrades": [],
            "pingInterval": int(BEAT * 1000),
            "pingTimeout": int(PATIENCE * 1000),
            "maxPayload": 1_000_000,
        }
        await socket.send(_OPEN + json.dumps(opening))
        try:
            async with asyncio.timeout(PATIENCE):
                tenant = self._tenant(await socket.message())
        except TimeoutError:
            tenant = None
        if tenant is None:
            refused = json.dumps({"message": "unauthorized"})
            await socket.send(_MESSAGE + _REFUSED + refused)
            await socket.close()
            return
        joined = json.dumps({"sid": secrets.token_urlsafe(12)})
        await socket.send(_MESSAGE + _CONNECT + joined)
        await self._serve(socket, tenant)

    def _tenant(self, message: bytes | str | None) -> str | None:
        if not isinstance(message, str) or not message.startswith(_MESSAGE + _CONNECT):
            return None
        try:
            given = json.loads(message[2:] or "{}")
        except ValueError:
            return None
        token = given.get("token") if isinstance(given, dict) else None
        found = self._keys.tenant(token) if isinstance(token, str) else None
        return None if found is None else found.name

    async def _serve(self, socket: Socket, tenant: str) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue(AHEAD)
        self._listening.setdefault(tenant, set()).add(queue)
        telling = asyncio.create_task(_tell(socket, queue))
        leaving = asyncio.create_task(socket.left())
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listening[tenant].discard(queue)
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)


async def _tell(socket: Socket, queue: asyncio.Queue[str]) -> None:
    while True:
        message = _PING  # that the other side is there is nothing that an event tells
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                message = await queue.get()
        await socket.send(message)
