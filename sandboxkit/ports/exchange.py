"""One request to what listens in the sandbox, and its answer.

Each request gets a connection of its own to the port, so that no answer can be taken for that to
another request, and an end without a length is an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h11

from .access import RefusedError, values
from .headers import Header, for_client
from .wire import Wire

__all__ = ["ClientGoneError", "Exchange"]


class ClientGoneError(ConnectionError):
    """The client has gone away; nobody wants the answer."""


class Exchange:
    """Passes the request's body on while it passes the answer back, whichever ends first.

    Args:
        client: whose request was read, but for its body.
        port: a new connection.
        name: of the port, for people.
        added: to the headers of the answer.

    Attributes:
        answered: whether the answer has begun, so that no other can be given.
        switched: whether both sides go on in another protocol.
    """

    def __init__(self, client: Wire, port: Wire, name: str, added: Sequence[Header]) -> None:
        self.answered = False
        self.switched = False
        self._client = client
        self._port = port
        self._name = name
        self._added = added
        self._trailers_fit = False

    async def run(self, request: h11.Request, headers: Sequence[Header]) -> None:
        """Do it; returns at the end of the answer, or when the protocol was switched.

        Raises:
            RefusedError: there is no answer; ours must be given.
            h11.RemoteProtocolError: the client does not speak HTTP.
            ConnectionError: either side broke off in the middle.
        """
        try:
            await self._port.send(
                h11.Request(method=request.method, target=request.target, headers=[*headers])
            )
        except h11.LocalProtocolError as error:
            raise RefusedError(400, f"the request cannot be passed on: {error}") from error
        upward = asyncio.create_task(self._upward())
        downward = asyncio.create_task(self._downward())
        try:
            await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
            if not downward.done():
                upward.result()
            await downward
        except h11.LocalProtocolError as error:
            raise ConnectionResetError(f"the answer cannot be passed on: {error}") from error
        finally:
            upward.cancel()
            downward.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)

    # -- to the port --------------------------------------------------------------------------

    async def _upward(self) -> None:
        ended = False
        while not ended:
            event = await self._client.event()
            if isinstance(event, h11.Data):
                ended = not await self._passed_on(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self._passed_on(h11.EndOfMessage(headers=event.headers.raw_items()))
                break
            else:
                raise ClientGoneError("the client went away in the middle of its request")
        if not ended and not await self._client.more():
            raise ClientGoneError("the client went away")

    async def _passed_on(self, event: h11.Data | h11.EndOfMessage) -> bool:
        """Whether the port still takes it; if not, it may have answered without having read it."""
        try:
            await self._port.send(event)
        except (ConnectionError, h11.LocalProtocolError):
            return False
        return True

    # -- to the client ------------------------------------------------------------------------

    async def _downward(self) -> None:
        while not self.switched:
            event = await self._said()
            if isinstance(event, h11.InformationalResponse):
                await self._inform(event)
            elif isinstance(event, h11.Response):
                await self._answer(event)
            elif isinstance(event, h11.Data):
                await self._client.send(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                trailers = event.headers.raw_items() if self._trailers_fit else []
                await self._client.send(h11.EndOfMessage(headers=trailers))
                return
            else:
                raise ConnectionResetError("the answer has no end")

    async def _said(self) -> object:
        try:
            return await self._port.event()
        except (ConnectionError, h11.RemoteProtocolError) as error:
            if self.answered:
                raise ConnectionResetError(f"the answer broke off: {error}") from error
            raise RefusedError(502, f"{self._name} gave no answer in HTTP: {error}") from error

    async def _inform(self, event: h11.InformationalResponse) -> None:
        if self._client.http.their_http_version == b"1.0" and event.status_code != 101:
            return  # it knows no such thing
        self.answered = self.switched = event.status_code == 101
        await self._client.send(
            h11.InformationalResponse(
                status_code=event.status_code, headers=for_client(event), reason=event.reason
            )
        )

    async def _answer(self, event: h11.Response) -> None:
        self._trailers_fit = (
            bool(values(event.headers, b"transfer-encoding"))
            and self._client.http.their_http_version != b"1.0"
        )
        self.answered = True
        await self._client.send(
            h11.Response(
                status_code=event.status_code,
                headers=[*for_client(event), *self._added],
                reason=event.reason,
            )
        )
