"""A guest whose every byte the test decides, and a client connected to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.frames import Decoder, Frame
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.connection import GuestConnection


class Peer:
    """The guest's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = Decoder()
        self._frames: list[Frame] = []

    async def frame(self) -> Frame:
        """The next frame the client sent."""
        while not self._frames:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def next(self, kind: int) -> Frame:
        """The next frame of this type; others are passed over."""
        while (frame := await self.frame()).type != kind:
            pass
        return frame

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def json(self, kind: int, stream: int, **value: Any) -> None:
        self.send(frames.encode_json(kind, stream, value))

    def hello(self, **more: Any) -> None:
        self.json(frames.HELLO, 0, **{"major": 1, "minor": 0, "features": [], **more})

    def event(self, stream: int, event: str, **more: Any) -> None:
        self.json(frames.EVENT, stream, event=event, **more)

    def data(self, stream: int, data: bytes, channel: int = 1, fin: bool = False) -> None:
        self.send(frames.encode(frames.DATA, stream, data, channel, fin))

    async def started(self, pid: int = 7) -> int:
        """Answer the next `start`; its stream."""
        stream = (await self.next(frames.OPEN)).stream
        self.event(stream, "started", pid=pid)
        return stream

    async def closed(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def peer_and_client(
    *, greet: bool = True, **options: Any
) -> AsyncIterator[tuple[asyncio.Queue[Peer], GuestClient]]:
    """A client and the queue of the peers of the connections it dials."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()
    made: list[Peer] = []
    loop = asyncio.get_running_loop()

    async def dial(factory: Any) -> tuple[asyncio.Transport, GuestConnection]:
        ours, theirs = socket.socketpair()
        try:
            peer = Peer(*await asyncio.open_connection(sock=theirs))
            made.append(peer)
            if greet:
                peer.hello()
            peers.put_nowait(peer)
            return await loop.create_connection(factory, sock=ours)
        except asyncio.CancelledError:
            ours.close()
            theirs.close()
            raise

    client = GuestClient(dial, **options)
    try:
        yield peers, client
    finally:
        await client.aclose()
        for peer in made:
            peer.close()
            with suppress(ConnectionError):
                await peer.writer.wait_closed()
        await asyncio.sleep(0.01)  # transports of a dial that was cancelled close themselves
