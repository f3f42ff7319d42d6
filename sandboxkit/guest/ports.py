"""A connection to a port inside, through the guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio

from ..errors import ProtocolError, SandboxError, TransportError
from ..provider import ConnectPortRequest, PortStream
from .client import GuestClient
from .fields import Fields
from .inbox import Inbox
from .stream import GuestStream

__all__ = ["GuestPort"]


class GuestPort(PortStream):
    """See `PortStream`. Made by `connect`."""

    def __init__(self, link: _PortLink) -> None:
        self._link = link

    @classmethod
    async def connect(cls, client: GuestClient, request: ConnectPortRequest) -> GuestPort:
        """Connect; returns once somebody has taken the connection.

        Raises:
            PortRefusedError: nobody listens there.
            SandboxError: what else the guest answered, or why it did not.
        """
        link = _PortLink()
        arguments = {"port": request.port, "wait": request.wait}
        await client.open(link, "connect_port", arguments)
        try:
            await link.connected
        except BaseException:
            link.reset()
            raise
        return cls(link)

    async def receive(self) -> bytes:
        chunk = await self._link.inbox.get()
        if chunk is None:
            return b""
        self._link.take(0, len(chunk))
        return chunk

    async def send(self, data: bytes) -> None:
        await self._link.send(data)

    async def send_eof(self) -> None:
        self._link.send_end()

    async def aclose(self) -> None:
        self._link.inbox.close()
        self._link.reset()


class _PortLink(GuestStream):
    """The stream of a `connect_port`."""

    channels = frozenset({0})

    def __init__(self) -> None:
        super().__init__()
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.inbox: Inbox[bytes] = Inbox()

    def on_event(self, event: Fields, size: int) -> None:
        kind = event.get("event")
        if kind == "connected" and not self.connected.done():
            self.connected.set_result(None)
        elif kind == "input_closed":
            self.stop_sending()

    def on_data(self, channel: int, data: bytes) -> None:
        if not self.connected.done():
            raise ProtocolError("the guest sent data before it had connected to the port")
        self.inbox.put(data)

    def on_end(self, channel: int) -> None:
        self.inbox.close()

    def on_result(self, result: Fields) -> None:
        if not self.finished(0) or not self.connected.done():
            raise ProtocolError("the guest ended a connection to a port before its end")

    def on_error(self, error: SandboxError) -> None:
        if not self.connected.done():
            self.connected.set_exception(error)
        self.inbox.close(error)

    def on_lost(self, error: TransportError) -> None:
        self.on_error(error)
