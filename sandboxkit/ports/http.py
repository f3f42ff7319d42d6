"""A port of a sandbox as a URL of this machine: an HTTP/1.1 reverse proxy that wants its token."""

from __future__ import annotations

import asyncio
import contextlib

import h11

from ..errors import PortRefusedError, RateLimitError, SandboxError
from ..provider import PortStream, PortURL
from .access import Access, RefusedError
from .exchange import Exchange
from .forward import Connect
from .headers import Header, for_port
from .listener import BUFFER, Listener
from .relay import relay
from .wire import Wire

__all__ = ["HttpPort"]

HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request must have come."""
IDLE_TIMEOUT = 75.0
"""Seconds for which a connection is kept that has been used."""
LINGER = 1.0
"""Seconds in which a client may read our answer while it still sends what we do not want."""


class HttpPort:
    """The listener for one port. Made by `open`.

    Args:
        connect: makes a connection to the port.
        name: of the port, for people.

    Attributes:
        access: who may use it.
        name: of the port, for people.
    """

    def __init__(self, connect: Connect, name: str) -> None:
        self.name = name
        self._connect = connect
        self._listener = Listener(self._serve)
        self.access = Access(0)

    @classmethod
    async def open(cls, connect: Connect, name: str) -> HttpPort:
        """Listen on a port that is free.

        Raises:
            InvalidRequestError: there is none.
        """
        made = cls(connect, name)
        made._listener = await Listener.open(made._serve, "127.0.0.1", 0, "url")
        made.access = Access(made._listener.port)
        return made

    def url(self, scheme: str) -> PortURL:
        """Where it listens, with the token."""
        return self.access.url(scheme)

    async def close(self) -> None:
        """Listen no more, and end the connections. Idempotent."""
        await self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def receive() -> bytes:
            return await reader.read(BUFFER)

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        conversation = _Conversation(self, Wire(h11.SERVER, receive, send), reader, writer)
        while await conversation.request():
            pass

    # -- for its conversations ----------------------------------------------------------------

    def admit(self, request: h11.Request) -> list[Header]:
        """Let a request pass; what to add to the headers of its answer.

        Raises:
            RefusedError: it may not pass, or is to be redirected.
        """
        way = self.access.check(request)
        if not (request.target.startswith(b"/") or request.target == b"*"):
            raise RefusedError(400, "the request does not name a path")
        if self.access.is_entering(request, way):
            host = next(value for name, value in request.headers if name == b"host")
            location = (b"Location", b"http://" + host + request.target)
            raise RefusedError(303, "", location, *self.access.entry(request))
        return [self.access.unmark()] if self.access.is_marked(request) else []

    async def connect(self) -> PortStream:
        """A connection to the port.

        Raises:
            RefusedError: there is none.
        """
        try:
            return await self._connect()
        except PortRefusedError as error:
            raise RefusedError(502, f"nothing answers at {self.name}: {error.message}") from error
        except RateLimitError as error:
            raise RefusedError(503, f"{self.name}: {error.message}") from error
        except SandboxError as error:
            raise RefusedError(502, f"{self.name} cannot be reached: {error.message}") from error


class _Conversation:
    """The requests on one connection."""

    def __init__(
        self,
        port: HttpPort,
        client: Wire,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._port = port
        self._client = client
        self._reader = reader
        self._writer = writer
        self._admitted = False
        self._bodiless = False

    async def request(self) -> bool:
        """Serve one request; false if there is no other to come."""
        try:
            event = await self._head()
            if not isinstance(event, h11.Request):
                return False
            return await self._served(event)
        except RefusedError as refusal:
            return await self._refuse(refusal)
        except h11.RemoteProtocolError as error:
            return await self._refuse(RefusedError(error.error_status_hint, f"not HTTP: {error}"))
        except TimeoutError:
            return False

    async def _head(self) -> object:
        if self._admitted and not self._client.left():
            async with asyncio.timeout(IDLE_TIMEOUT):
                await self._client.more()
        async with asyncio.timeout(HEAD_TIMEOUT):
            return await self._client.event()

    async def _served(self, request: h11.Request) -> bool:
        self._bodiless = request.method == b"HEAD"
        added = self._port.admit(request)
        self._admitted = True
        headers = for_port(request)
        async with contextlib.aclosing(await self._port.connect()) as stream:
            server = Wire(h11.CLIENT, stream.receive, stream.send)
            exchange = Exchange(self._client, server, self._port.name, added)
            try:
                await exchange.run(request, headers)
            except h11.RemoteProtocolError as error:
                if exchange.answered:
                    raise ConnectionResetError(f"the client broke off: {error}") from error
                raise
            if exchange.switched:
                await relay(
                    self._reader,
                    self._writer,
                    stream,
                    first_in=self._client.left(),
                    first_out=server.left(),
                )
                return False
        return await self._next()

    async def _next(self) -> bool:
        http = self._client.http
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
            return True
        if http.their_state is not h11.MUST_CLOSE:
            await self._linger()
        return False

    async def _refuse(self, refusal: RefusedError) -> bool:
        text = f"{refusal.status}: {refusal.text}\n".encode() if refusal.text else b""
        headers = [
            *refusal.headers,
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", str(len(text)).encode()),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Cache-Control", b"no-store"),
            (b"Server", b"sandboxkit"),
            (b"Connection", b"close"),
        ]
        try:
            await self._client.send(h11.Response(status_code=refusal.status, headers=headers))
            if text and not self._bodiless:
                await self._client.send(h11.Data(data=text))
            await self._client.send(h11.EndOfMessage())
        except h11.LocalProtocolError:
            return False
        await self._linger()
        return False

    async def _linger(self) -> None:
        """Let the client read our answer: a close with bytes unread would take it away again."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            self._writer.write_eof()
            async with asyncio.timeout(LINGER):
                while await self._reader.read(BUFFER):
                    continue
