"""Ports, as the client sees them: a good guest, and guests that break the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sandboxkit.errors import PortRefusedError, ProtocolError, RateLimitError, TransportError
from sandboxkit.guest.agent import frames
from sandboxkit.guest.ports import GuestPort
from sandboxkit.provider import ConnectPortRequest

from .client_peer import Peer, peer_and_client

REQUEST = ConnectPortRequest(sandbox_id="a", port=80, wait=2.5)


async def opened(peer: Peer) -> int:
    frame = await peer.next(frames.OPEN)
    assert frame.json() == {"op": "connect_port", "port": 80, "wait": 2.5}
    return frame.stream


def test_both_ways_and_both_ends() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            stream = await opened(peer)
            peer.event(stream, "connected")
            port = await connecting
            await port.send(b"question")
            assert (await peer.next(frames.DATA)).payload == b"question"
            peer.data(stream, b"answer", 0)
            peer.data(stream, b"", 0, fin=True)
            assert [await port.receive() for _ in range(3)] == [b"answer", b"", b""]
            await port.send_eof()
            assert (await peer.next(frames.DATA)).fin
            peer.json(frames.RESULT, stream)
            await port.aclose()
            await port.aclose()

    asyncio.run(main())


def test_a_port_that_takes_no_more_may_still_answer() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            stream = await opened(peer)
            peer.event(stream, "connected")
            port = await connecting
            sending = asyncio.create_task(port.send(bytes(frames.WINDOW + 1)))
            peer.event(stream, "input_closed")
            peer.data(stream, b"no", 0)
            with pytest.raises(BrokenPipeError):
                await sending
            assert await port.receive() == b"no"
            peer.json(frames.ERROR, stream, code="reset", message="gone")
            with pytest.raises(ConnectionError):
                await port.receive()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "kind"), [("refused", PortRefusedError), ("too_many", RateLimitError)]
)
def test_refusals(code: str, kind: type[Exception]) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            peer.json(frames.ERROR, await opened(peer), code=code, message="no")
            with pytest.raises(kind, match="no"):
                await connecting

    asyncio.run(main())


def test_cancelling_lets_go() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            stream = await opened(peer)
            connecting.cancel()
            assert (await peer.next(frames.RESET)).stream == stream

    asyncio.run(main())


BEFORE: list[Callable[[Peer, int], Any]] = [
    lambda peer, stream: peer.data(stream, b"x", 0),
    lambda peer, stream: peer.json(frames.RESULT, stream),
    lambda peer, stream: peer.data(stream, b"x", 1),
]
AFTER: list[Callable[[Peer, int], Any]] = [
    lambda peer, stream: peer.json(frames.RESULT, stream),
    lambda peer, stream: [peer.data(stream, bytes(65536), 0) for _ in range(5)],
    lambda peer, stream: [peer.data(stream, b"x", 0, fin=True) for _ in range(2)],
    lambda peer, stream: peer.data(stream, b"x", 2),
]


@pytest.mark.parametrize("wrong", BEFORE)
def test_a_guest_that_breaks_the_protocol_before_it_has_connected(
    wrong: Callable[[Peer, int], Any],
) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            wrong(peer, await opened(peer))
            with pytest.raises(ProtocolError):
                await connecting
            await peer.closed()

    asyncio.run(main())


@pytest.mark.parametrize("wrong", AFTER)
def test_a_guest_that_breaks_the_protocol_later(wrong: Callable[[Peer, int], Any]) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            connecting = asyncio.create_task(GuestPort.connect(client, REQUEST))
            peer = await peers.get()
            stream = await opened(peer)
            peer.event(stream, "connected")
            port = await connecting
            wrong(peer, stream)
            await peer.closed()
            with pytest.raises((TransportError, BrokenPipeError)):
                await port.send(b"x")

    asyncio.run(main())
