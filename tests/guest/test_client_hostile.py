"""Whatever a guest sends, its connection ends cleanly, quickly, and takes no memory with it."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from sandboxkit.errors import ExecLostError, ProtocolError, SandboxError, TransportError
from sandboxkit.guest.agent import frames
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.process import GuestProcess
from sandboxkit.models import OutputChunk
from sandboxkit.provider import Exited, Gap, StartRequest

from .client_peer import Peer, peer_and_client

HEADER = struct.Struct(">BBHII")


def header(kind: int, stream: int = 1, length: int = 0, channel: int = 0, flags: int = 0) -> bytes:
    return HEADER.pack(kind, channel, flags, stream, length)


def hello(payload: bytes) -> bytes:
    return header(frames.HELLO, 0, len(payload)) + payload


BAD_GREETINGS = {
    "garbage": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "no greeting": frames.encode_json(frames.EVENT, 1, {"event": "started", "pid": 1}),
    "a list": hello(b"[]"),
    "not JSON": hello(b"{"),
    "not UTF-8": hello(b'{"major":1,"x":"\xff"}'),
    "deep nesting": hello(b'{"a":' + b"[" * 100_000),
    "a long number": hello(b'{"major":' + b"1" * 100_000 + b"}"),
    "another major": hello(b'{"major":2,"minor":0}'),
    "no major": hello(b"{}"),
    "a truth value as major": hello(b'{"major":true}'),
    "an endless greeting": header(frames.HELLO, 0, 2**31),
    "a greeting on a stream": header(frames.HELLO, 1, 2) + b"{}",
}


@pytest.mark.parametrize("data", BAD_GREETINGS.values(), ids=BAD_GREETINGS)
def test_a_bad_greeting_is_a_protocol_error(data: bytes) -> None:
    async def main() -> None:
        async with peer_and_client(greet=False) as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            peer.send(data)
            with pytest.raises(ProtocolError) as caught:
                await calling
            assert caught.value.outcome == "not_started"
            await peer.closed()

    asyncio.run(main())


VIOLATIONS = {
    "an unknown type": header(99),
    "type zero": header(0),
    "a frame only we send": frames.encode_json(frames.OPEN, 1, {"op": "start"}),
    "a second greeting": frames.encode_json(frames.HELLO, 0, {"major": 1}),
    "a goodbye": frames.encode(frames.BYE, 0),
    "two gibibytes of data": header(frames.DATA, length=2**31),
    "one byte too many of data": header(frames.DATA, length=frames.MAX_DATA + 1),
    "two gibibytes of JSON": header(frames.EVENT, length=2**31),
    "credit of five bytes": header(frames.CREDIT, length=5),
    "credit of no bytes": header(frames.CREDIT),
    "an unknown flag": header(frames.DATA, flags=2),
    "an end of an event": header(frames.EVENT, flags=1),
    "channel three": header(frames.DATA, channel=3),
    "an event on a channel": header(frames.EVENT, channel=1),
    "data for the connection": header(frames.DATA, 0),
    "a list": header(frames.EVENT, length=2) + b"[]",
    "a result that is a list": header(frames.RESULT, length=2) + b"[]",
    "a result that is no JSON": header(frames.RESULT, length=2) + b"}{",
    "an error that is a number": header(frames.ERROR, length=1) + b"1",
    "data where none is taken": frames.encode(frames.DATA, 1, b"x"),
    "credit beyond measure": frames.encode_credit(1, 0, 2**32 - 1) * 300,
    "a pid that is text": frames.encode_json(frames.EVENT, 1, {"event": "started", "pid": "7"}),
    "a negative pid": frames.encode_json(frames.EVENT, 1, {"event": "started", "pid": -7}),
    "an exit before the start": frames.encode_json(frames.EVENT, 1, {"event": "exited"}),
    "output before the start": frames.encode(frames.DATA, 1, b"x", 1),
    "an end before the start": frames.encode_json(frames.RESULT, 1, {}),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_violation_ends_the_connection_and_its_streams(data: bytes) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            starting = asyncio.create_task(GuestProcess.start(client, start_request()))
            peer = await peers.get()
            await peer.next(frames.OPEN)
            other = asyncio.create_task(client.call("ping"))
            await peer.next(frames.OPEN)
            peer.send(data)
            for task in (starting, other):
                with pytest.raises(ProtocolError) as caught:
                    await task
                assert caught.value.outcome == "unknown"
            await peer.closed()

    asyncio.run(main())


AFTER_START = {
    "data after its end": frames.encode(frames.DATA, 1, b"", 1, True)
    + frames.encode(frames.DATA, 1, b"x", 1),
    "more than the credit": frames.encode(frames.DATA, 1, bytes(65536), 1) * 4
    + frames.encode(frames.DATA, 1, b"x", 1),
    "an exit without a status": frames.encode_json(
        frames.EVENT, 1, {"event": "exited", "code": None, "signal": None}
    ),
    "an exit of 256": frames.encode_json(frames.EVENT, 1, {"event": "exited", "code": 256}),
    "an exit of true": frames.encode_json(frames.EVENT, 1, {"event": "exited", "code": True}),
    "an end without an exit": frames.encode_json(frames.RESULT, 1, {"closed": True}),
    "a second start": frames.encode_json(frames.EVENT, 1, {"event": "started", "pid": 7}),
    "a gap that goes back": frames.encode(frames.DATA, 1, b"xx", 1)
    + frames.encode_json(frames.EVENT, 1, {"event": "gap", "channel": 1, "start": 1, "end": 9}),
}


@pytest.mark.parametrize("data", AFTER_START.values(), ids=AFTER_START)
def test_a_process_of_a_guest_that_keeps_breaking_the_protocol_is_lost(data: bytes) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            starting = asyncio.create_task(GuestProcess.start(client, start_request()))
            peer = await peers.get()
            await peer.started()
            process = await starting
            peer.send(data)
            await peer.closed()
            spoiling = asyncio.create_task(spoil(peers))
            with pytest.raises(ExecLostError) as caught:
                await collect(process)
            spoiling.cancel()
            assert caught.value.cause == "transport"
            assert caught.value.outcome == "unknown"

    asyncio.run(main())


async def spoil(peers: asyncio.Queue[Peer]) -> None:
    while True:
        peer = await peers.get()
        await peer.next(frames.OPEN)
        peer.send(b"\xff" * 12)
        await peer.closed()


async def collect(process: GuestProcess) -> list[object]:
    return [event async for event in process.events()]


def start_request() -> StartRequest:
    return StartRequest(sandbox_id="a", command=("true",))


def test_half_a_frame_and_then_nothing_is_a_transport_error() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            await peer.next(frames.OPEN)
            peer.send(header(frames.RESULT, length=100) + b"{")
            peer.close()
            with pytest.raises(TransportError) as caught:
                await calling
            assert not isinstance(caught.value, ProtocolError)
            assert caught.value.outcome == "unknown"

    asyncio.run(main())


def test_frames_for_streams_that_never_were_are_ignored() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            stream = (await peer.next(frames.OPEN)).stream
            for number in range(50, 2000):
                peer.data(number, bytes(4096))
                peer.event(number, "started", pid=3)
                peer.send(frames.encode_credit(number, 0, 2**32 - 1))
                await peer.writer.drain()
            peer.json(frames.RESULT, stream, fine=True)
            assert await calling == {"fine": True}

    asyncio.run(main())


def test_a_silent_guest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.guest.client.HANDSHAKE_TIMEOUT", 0.05)

    async def main() -> None:
        async with peer_and_client(greet=False) as (_, client):
            with pytest.raises(TransportError, match="greet") as caught:
                await client.call("ping")
            assert caught.value.outcome == "not_started"

    asyncio.run(main())


def memory_while(send: Callable[[Peer, int], Awaitable[None]]) -> int:
    """Bytes that the client holds at most while `send` floods a process nobody listens to."""

    async def main() -> int:
        async with peer_and_client() as (peers, client):
            starting = asyncio.create_task(GuestProcess.start(client, start_request()))
            peer = await peers.get()
            stream = await peer.started()
            process = await starting
            tracemalloc.start()
            try:
                await send(peer, stream)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                await process.detach()

    return asyncio.run(main())


def test_a_flood_of_gaps_is_bounded() -> None:
    async def flood(peer: Peer, stream: int) -> None:
        try:
            for end in range(1, 200_000):
                peer.event(stream, "gap", channel=1, start=end - 1, end=end)
                await peer.writer.drain()
        except ConnectionError:
            pass

    assert memory_while(flood) < 16 << 20


def test_a_flood_of_unknown_events_and_empty_data_is_bounded() -> None:
    async def flood(peer: Peer, stream: int) -> None:
        for number in range(5_000):
            peer.event(stream, "news", number=number)
            peer.data(stream, b"")
            peer.send(frames.encode_credit(stream, 0, 1))
            await peer.writer.drain()

    assert memory_while(flood) < 4 << 20


def test_output_nobody_takes_is_bounded_by_the_window() -> None:
    async def flood(peer: Peer, stream: int) -> None:
        for _ in range(4):
            peer.data(stream, bytes(65536), 1)
            peer.data(stream, bytes(65536), 2)
            await peer.writer.drain()
        peer.data(stream, b"too much", 1)
        await peer.closed()

    assert memory_while(flood) < 4 << 20


def test_ten_thousand_mutations_of_a_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any flipped, cut, doubled or moved byte gives a result or a `SandboxError`, at once."""
    monkeypatch.setattr("sandboxkit.guest.client.HANDSHAKE_TIMEOUT", 0.003)
    chance = random.Random(20240229)
    frame = frames.encode_json
    greeting = frame(frames.HELLO, 0, {"major": 1, "minor": 0, "sandbox": {"user": "user"}})
    script = greeting + b"".join(
        [
            frame(frames.EVENT, 1, {"event": "started", "pid": 7}),
            frames.encode(frames.DATA, 1, b"hello\n", 1),
            frames.encode(frames.DATA, 1, b"oh\n", 2, True),
            frame(frames.EVENT, 1, {"event": "gap", "channel": 1, "start": 6, "end": 9}),
            frames.encode_credit(1, 0, 4096),
            frames.encode(frames.DATA, 1, b"bye\n", 1, True),
            frame(frames.EVENT, 1, {"event": "exited", "code": 3, "signal": None}),
            frame(frames.RESULT, 1, {"closed": True}),
        ]
    )

    def mutated() -> bytes:
        data = bytearray(script)
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[where] = chance.randrange(256)
                case 1:
                    del data[where : where + chance.randint(1, 20)]
                case 2:
                    data[where:where] = chance.randbytes(chance.randint(1, 20))
                case _:
                    data[where:where] = data[: chance.randint(1, len(data))]
        return bytes(data)

    async def once(data: bytes) -> str:
        async def dial(factory):  # type: ignore[no-untyped-def]
            protocol = factory()
            transport = Wire(protocol, data, len(greeting))
            protocol.connection_made(transport)
            return transport, protocol

        client = GuestClient(dial)
        try:
            process = await GuestProcess.start(client, start_request())
            for event in await collect(process):
                if isinstance(event, Exited):
                    assert event.code is not None or event.signal is not None
                else:
                    assert not isinstance(event, OutputChunk | Gap) or event.stream
        except SandboxError as error:
            return type(error).__name__
        finally:
            await client.aclose()
        return "fine"

    async def main() -> dict[str, int]:
        outcomes: dict[str, int] = {}
        for _ in range(10_000):
            async with asyncio.timeout(5):
                outcome = await once(mutated())
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes

    began = time.monotonic()
    outcomes = asyncio.run(main())
    assert set(outcomes) <= {
        "fine", "ProtocolError", "TransportError", "ExecLostError", "SandboxError",
    }, outcomes  # fmt: skip
    assert outcomes["ProtocolError"] > 100
    assert outcomes["fine"] > 10
    assert time.monotonic() - began < 60


class Wire(asyncio.Transport):
    """A transport that answers each write with the next part of a recording, then ends."""

    def __init__(self, protocol: asyncio.Protocol, data: bytes, first: int) -> None:
        super().__init__()
        self._protocol = protocol
        self._parts = [data[:first], data[first:]]
        self._closing = False

    def _play(self) -> None:
        data = self._parts.pop(0) if self._parts else b""
        for start in range(0, len(data), 50):
            if not self._closing:
                self._protocol.data_received(data[start : start + 50])
        if not self._parts:
            self.abort()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: object) -> None:
        asyncio.get_running_loop().call_soon(self._play)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def test_a_json_bomb_costs_what_one_frame_may_cost() -> None:
    bomb = json.dumps({"event": "news", "x": [[]] * 200_000}).encode()

    async def flood(peer: Peer, stream: int) -> None:
        for _ in range(4):
            peer.send(header(frames.EVENT, stream, len(bomb)) + bomb)
            await peer.writer.drain()

    assert memory_while(flood) < 64 << 20
