"""A port of a sandbox, passed through: WebSockets, message by message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from starlette.types import Receive, Scope, Send
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from ..provider import PortStream
from .proxy import passed_on, target_of
from .refusal import Refusal

__all__ = ["refuse", "relayed"]

MAX_MESSAGE = 16 << 20
"""Bytes of a message, in either direction."""
HANDSHAKE = 25.0
_NOT_PASSED = frozenset(
    {
        b"connection",
        b"host",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)


async def relayed(stream: PortStream, scope: Scope, receive: Receive, send: Send) -> None:
    """Open a WebSocket to the port for one that a client opens, and pass messages. Closes it.

    Raises:
        Refusal: the port does not open one.
    """
    async with contextlib.aclosing(stream):
        relay = _Relay(stream, scope, receive, send)
        try:
            async with asyncio.timeout(HANDSHAKE):
                await relay.open()
        except (TimeoutError, ConnectionError, InvalidHandshake, ProtocolError) as error:
            raise Refusal(502, f"the port opens no WebSocket: {error}") from None
        await relay.run()


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's opening with an error."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1011, "reason": refusal.message[:100]})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refusal.status,
            "headers": headers,
        }
    )
    body = refusal.message.encode()
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


class _Relay:
    def __init__(self, stream: PortStream, scope: Scope, receive: Receive, send: Send) -> None:
        self._stream = stream
        self._scope = scope
        self._receive = receive
        self._send = send
        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
        self._protocol = ClientProtocol(
            parse_uri(f"ws://{host.decode('latin-1')}/"),
            subprotocols=scope.get("subprotocols") or None,
            max_size=MAX_MESSAGE,
        )
        self._parts: list[bytes] = []
        self._text = False
        self._sending = asyncio.Lock()

    # -- opening ------------------------------------------------------------------------------

    async def open(self) -> None:
        request = self._protocol.connect()
        request.path = target_of(self._scope).decode("latin-1")
        for name, value in passed_on(self._scope):
            if name not in _NOT_PASSED:
                request.headers[name.decode("latin-1")] = value.decode("latin-1")
        self._protocol.send_request(request)
        await self._flush()
        await self._receive()
        response = await self._answer()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        headers = [
            (b"set-cookie", value.encode("latin-1"))
            for value in response.headers.get_all("Set-Cookie")
        ]
        chosen = self._protocol.subprotocol
        await self._send({"type": "websocket.accept", "subprotocol": chosen, "headers": headers})

    async def _answer(self) -> Response:
        while True:
            for event in self._protocol.events_received():
                if isinstance(event, Response):
                    return event
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
            await self._take()

    # -- passing ------------------------------------------------------------------------------

    async def run(self) -> None:
        upward = asyncio.create_task(self._upward())
        downward = asyncio.create_task(self._downward())
        try:
            await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (upward, downward):
                task.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)

    async def _upward(self) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                self._protocol.send_text(message["text"].encode())
            else:
                self._protocol.send_binary(message["bytes"])
            await self._flush()
        if self._protocol.state is State.OPEN:
            code = message.get("code", 1000)
            self._protocol.send_close(code if code not in (1005, 1006) else 1000)
            await self._flush()

    async def _downward(self) -> None:
        try:
            while self._protocol.state is State.OPEN:
                for message in self._messages():
                    await self._send({"type": "websocket.send", **message})
                await self._answer_at_once()
                if self._protocol.state is State.OPEN:
                    await self._take()
            for message in self._messages():
                await self._send({"type": "websocket.send", **message})
        finally:
            close = {"code": self._protocol.close_code or 1011}
            if close["code"] in (1005, 1006):
                close["code"] = 1000 if close["code"] == 1005 else 1011
            await self._send({"type": "websocket.close", **close})

    def _messages(self) -> Iterator[dict[str, Any]]:
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in (
                Opcode.TEXT,
                Opcode.BINARY,
                Opcode.CONT,
            ):
                continue
            if event.opcode is not Opcode.CONT:
                self._parts, self._text = [], event.opcode is Opcode.TEXT
            self._parts.append(bytes(event.data))
            if event.fin:
                whole = b"".join(self._parts)
                yield {"text": whole.decode("utf-8", "replace")} if self._text else {"bytes": whole}

    async def _take(self) -> None:
        data = await self._stream.receive()
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        await self._answer_at_once()

    async def _answer_at_once(self) -> None:
        """Send what the protocol answers by itself, such as a pong; whoever sends now sends it.

        Waiting for a long message of the client's would keep the server's from being read.
        """
        if not self._sending.locked():
            await self._flush()

    async def _flush(self) -> None:
        # One at a time: both directions send, and a frame must not end up inside another.
        async with self._sending:
            while any(pieces := self._protocol.data_to_send()):
                for data in filter(None, pieces):
                    await self._stream.send(data)
