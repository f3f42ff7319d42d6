"""What was sent to a process arrives once and in order, or the process counts as lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from sandboxkit.errors import ExecLostError, TransportError
from sandboxkit.guest.agent import frames
from sandboxkit.guest.process import GuestProcess
from sandboxkit.provider import StartRequest

from .client_peer import Peer, peer_and_client


def request(*, bound: bool = True) -> StartRequest:
    return StartRequest(sandbox_id="a", command="cat", stdin=True, bound=bound)


class Reader:
    """A guest whose process has received all, of which the client need not know."""

    def __init__(self, peers: asyncio.Queue[Peer]) -> None:
        self.received = bytearray()
        self.ended = False
        self._peers = peers

    async def serve(self, limit: int, *, tells: bool = True) -> None:
        """Take a connection, read up to `limit` further bytes, and break it."""
        peer = await self._peers.get()
        opened = await peer.next(frames.OPEN)
        if opened.json()["op"] == "start":
            peer.event(opened.stream, "started", pid=7)
        else:
            told = {"stdin": len(self.received)} if tells else {}
            told["stdout"] = opened.json()["stdout"]
            peer.event(opened.stream, "attached", pid=7, stderr=0, **told)
        peer.data(opened.stream, b"heard")
        while limit > 0 and not self.ended:
            frame = await peer.frame()
            if frame.type == frames.DATA:
                data = frame.payload[:limit]
                limit -= len(data)
                self.received += data
                self.ended = frame.fin
                if data and not frame.fin:
                    peer.send(frames.encode_credit(opened.stream, 0, len(data)))
        if self.ended:
            peer.event(opened.stream, "exited", code=0, signal=None)
            peer.json(frames.RESULT, opened.stream, closed=True)
        else:
            peer.close()


async def drain(process: GuestProcess) -> None:
    async for _ in process.events():
        pass


def test_input_goes_on_where_the_guest_says() -> None:
    chance = random.Random(7)
    data = chance.randbytes(5 << 20)

    async def main() -> None:
        async with peer_and_client() as (peers, client):
            reader = Reader(peers)

            async def guest() -> None:
                for _ in range(20):
                    await reader.serve(chance.randint(1, 300_000))
                await reader.serve(len(data))

            serving = asyncio.create_task(guest())
            process = await GuestProcess.start(client, request())
            watching = asyncio.create_task(drain(process))
            for start in range(0, len(data), 100_000):
                await process.send_stdin(data[start : start + 100_000])
            await process.close_stdin()
            await serving
            await watching
            assert bytes(reader.received) == data

    asyncio.run(main())


def test_what_was_on_its_way_is_sent_though_the_sender_has_gone() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            reader = Reader(peers)
            serving = asyncio.create_task(reader.serve(10))
            process = await GuestProcess.start(client, request())
            await process.send_stdin(bytes(100_000))
            await process.close_stdin()
            await serving
            await reader.serve(1 << 20)
            assert bytes(reader.received) == bytes(100_000)
            assert reader.ended
            await drain(process)
            with pytest.raises(BrokenPipeError):
                await process.send_stdin(b"more")

    asyncio.run(main())


def test_a_bound_process_whose_input_may_be_incomplete_is_lost() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            reader = Reader(peers)
            serving = asyncio.create_task(reader.serve(10))
            process = await GuestProcess.start(client, request())
            await process.send_stdin(bytes(100))
            await serving
            serving = asyncio.create_task(reader.serve(10, tells=False))
            with pytest.raises(ExecLostError, match="input") as caught:
                await drain(process)
            assert (caught.value.cause, caught.value.outcome) == ("transport", "unknown")
            serving.cancel()

    asyncio.run(main())


def test_an_unbound_process_whose_input_may_be_incomplete_gets_no_more() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            reader = Reader(peers)
            serving = asyncio.create_task(reader.serve(10))
            process = await GuestProcess.start(client, request(bound=False))
            await process.send_stdin(bytes(100))
            await serving
            serving = asyncio.create_task(reader.serve(10, tells=False))
            await asyncio.sleep(0.1)  # until then it may still go to the broken connection
            with pytest.raises(TransportError) as caught:
                await process.send_stdin(b"more")
            assert caught.value.outcome == "unknown"
            serving.cancel()

    asyncio.run(main())
