"""WebSockets whose opening is refused, or whose client has left by then, are nothing to log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from sandboxkit.gateway.refusal import Refusal
from sandboxkit.gateway.server import Server
from sandboxkit.gateway.websocket import refuse

OPENING = (
    b"GET / HTTP/1.1\r\nHost: one\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def opened(app: App, *, leave: bool) -> bytes:
    """What a client hears that opens a WebSocket, and leaves at once or stays."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await app(scope, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})

    async def main() -> bytes:
        listening = socket.create_server(("127.0.0.1", 0))
        server = Server(served)
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(OPENING)
        if leave:
            writer.write_eof()
        heard = await reader.read()
        writer.close()
        server.should_exit = True
        await serving
        return heard

    return asyncio.run(main())


def test_a_refusal_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(Refusal(404, "there is none"), scope, receive, send)

    heard = opened(app, leave=False)
    assert heard.startswith(b"HTTP/1.1 404 ")
    assert heard.endswith(b"\r\n\r\nthere is none")
    assert capfd.readouterr().err == ""  # where uvicorn writes its log


@pytest.mark.parametrize("steps", range(5))
def test_a_client_that_has_left_is_no_mistake(
    capfd: pytest.CaptureFixture[str], steps: int
) -> None:
    """The application comes to its answer a few steps of the loop later, before or after."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})

    opened(app, leave=True)
    assert capfd.readouterr().err == ""  # where uvicorn writes its log
