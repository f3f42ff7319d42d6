"""A port of a sandbox, passed through: HTTP requests, with bodies of any length both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import h11
from starlette.types import Receive, Scope, Send

from ..errors import PortRefusedError
from ..ports.access import RefusedError
from ..ports.headers import for_client, for_port
from ..ports.wire import Wire
from ..provider import ConnectPortRequest, PortStream, Provider
from .refusal import Refusal

__all__ = ["OURS", "dial", "proxied"]

OURS = frozenset(
    {
        b"e2b-sandbox-id",
        b"e2b-sandbox-port",
        b"e2b-traffic-access-token",
        b"x-access-token",
        b"x-daytona-preview-token",
    }
)
"""Headers that are for the gateway alone."""
_NOT_PASSED = OURS | {b"upgrade", b"expect"}
PATIENCE = 25.0
"""Seconds after which a provider that does not answer is given up."""


async def dial(provider: Provider, sandbox_id: str, wire_id: str, port: int) -> PortStream:
    """Connect to a port.

    Raises:
        Refusal: nothing listens there.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await provider.connect_port(ConnectPortRequest(sandbox_id=sandbox_id, port=port))
    except PortRefusedError:
        raise Refusal(
            502,
            "The sandbox is running but port is not open",
            headers={"Should-Retry": "false"},
            sandboxId=wire_id,
            port=port,
        ) from None
    except TimeoutError:
        raise Refusal(504, f"port {port} gave no answer", sandboxId=wire_id, port=port) from None


def passed_on(scope: Scope) -> list[tuple[bytes, bytes]]:
    """A request's headers without those that are for the gateway."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [(name, value) for name, value in headers if name not in _NOT_PASSED]


def target_of(scope: Scope) -> bytes:
    """What a request names, as it was written."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


async def proxied(stream: PortStream, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass one request on, and its answer back. Closes the stream.

    Raises:
        Refusal: there is no answer; ours must be given.
    """
    async with contextlib.aclosing(stream):
        exchange = _Exchange(Wire(h11.CLIENT, stream.receive, stream.send), receive, send)
        try:
            request = h11.Request(
                method=scope["method"], target=target_of(scope), headers=passed_on(scope)
            )
            headers = for_port(request)
            await exchange.run(
                h11.Request(method=request.method, target=request.target, headers=headers)
            )
        except RefusedError as refused:
            raise Refusal(refused.status, refused.text) from None
        except h11.LocalProtocolError as error:
            if exchange.answered:
                raise
            raise Refusal(400, f"the request cannot be passed on: {error}") from None
        except (ConnectionError, h11.RemoteProtocolError) as error:
            if exchange.answered:
                raise ConnectionResetError(f"the answer broke off: {error}") from error
            raise Refusal(502, f"the port gave no answer in HTTP: {error}") from None


class _Exchange:
    """Passes the body on while it passes the answer back, whichever ends first."""

    def __init__(self, port: Wire, receive: Receive, send: Send) -> None:
        self.answered = False
        self._port = port
        self._receive = receive
        self._send = send

    async def run(self, request: h11.Request) -> None:
        await self._port.send(request)
        upward = asyncio.create_task(self._upward())
        downward = asyncio.create_task(self._downward())
        try:
            await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
            if downward.done():
                await downward
            else:
                await upward  # the client has gone, and nobody wants the answer
        finally:
            for task in (upward, downward):
                task.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)

    async def _upward(self) -> None:
        """Pass the body on; returns when the client has gone."""
        taken = True
        while (message := await self._receive())["type"] == "http.request":
            # A server may answer without having read all of it.
            with contextlib.suppress(ConnectionError, h11.LocalProtocolError):
                if taken and message.get("body"):
                    taken = False
                    await self._port.send(h11.Data(data=message["body"]))
                    taken = True
                if taken and not message.get("more_body", False):
                    await self._port.send(h11.EndOfMessage())
                    taken = False

    async def _downward(self) -> None:
        while True:
            event = await self._port.event()
            if isinstance(event, h11.InformationalResponse):
                continue
            if isinstance(event, h11.Response):
                self.answered = True
                await self._begin(event)
            elif isinstance(event, h11.Data):
                await self._part(bytes(event.data), more=True)
            elif isinstance(event, h11.EndOfMessage):
                await self._part(b"", more=False)
                return
            else:
                raise ConnectionResetError("the answer has no end")

    async def _begin(self, response: h11.Response) -> None:
        headers = [(name.lower(), value) for name, value in for_client(response)]
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )

    async def _part(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
