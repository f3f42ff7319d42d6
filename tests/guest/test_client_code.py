"""Cells of code, against a guest whose every frame the test decides."""

from __future__ import annotations

import asyncio

import pytest

from sandboxkit.errors import ExecLostError, ProtocolError, SandboxError, SandboxNotFoundError
from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.drivers.mime import result_events
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.code import GuestCode
from sandboxkit.models import CodeError, Result
from sandboxkit.provider import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    RunCodeRequest,
)

from .client_peer import Peer, peer_and_client

ENDED = {"context": "c", "execution_count": 1, "timed_out": False, "restarted": False}


async def collect(cell: GuestCode) -> list[CodeEvent]:
    return [event async for event in cell.events()]


async def run(peers: asyncio.Queue[Peer], client: GuestClient) -> tuple[GuestCode, Peer, int]:
    cell = await GuestCode.run(client, RunCodeRequest(sandbox_id="a", code="x"))
    peer = await peers.get()
    return cell, peer, (await peer.next(frames.OPEN)).stream


def test_events_and_results_in_parts() -> None:
    bundle = {
        "text/plain": "x" * 200_000,
        "application/json": {"a": ["ü" * 70_000]},
        "text/html": "",
    }

    async def main() -> None:
        async with peer_and_client() as (peers, client):
            cell, peer, stream = await run(peers, client)
            peer.data(stream, b"out")
            peer.data(stream, b"err", 2)
            for event in result_events(bundle, True, 4):
                peer.json(frames.EVENT, stream, **event)
            peer.event(stream, "result", data={"text/plain": "2"}, main=False)
            peer.event(stream, "raised", name="E", value="v", traceback="t")
            peer.event(stream, "from the future")
            peer.json(frames.RESULT, stream, **ENDED, exit_code=None)
            assert await collect(cell) == [
                CodeOutput("stdout", b"out"),
                CodeOutput("stderr", b"err"),
                CodeResult(Result(bundle, True)),
                CodeResult(Result({"text/plain": "2"}, False)),
                CodeRaised(CodeError("E", "v", "t")),
                CodeEnded("c", 1),
            ]
            await cell.interrupt()
            await cell.detach()

    asyncio.run(main())


def test_interrupt_waits_for_the_end() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            cell, peer, stream = await run(peers, client)
            interrupting = asyncio.create_task(cell.interrupt())
            await peer.next(frames.RESET)
            assert not interrupting.done()
            peer.json(frames.RESULT, stream, **ENDED)
            await interrupting
            assert await collect(cell) == [CodeEnded("c", 1)]

    asyncio.run(main())


def test_a_lost_cell_is_not_resumed() -> None:
    async def find() -> None:
        raise SandboxNotFoundError("gone", cause="oom")

    async def main() -> None:
        async with peer_and_client(find=find) as (peers, client):
            cell, peer, _ = await run(peers, client)
            peer.close()
            with pytest.raises(ExecLostError) as caught:
                await collect(cell)
            assert (caught.value.cause, caught.value.outcome) == ("oom", "unknown")
            with pytest.raises(ExecLostError):
                await cell.interrupt()

    asyncio.run(main())


def test_results_nobody_takes_end_the_cell_and_not_the_connection() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            cell, peer, stream = await run(peers, client)
            for _ in range(40):
                peer.event(stream, "result", data={"text/plain": "x" * 1_000_000})
                await peer.writer.drain()
            await peer.next(frames.RESET)
            with pytest.raises(SandboxError, match="MiB") as caught:
                await collect(cell)
            assert not isinstance(caught.value, ProtocolError)
            calling = asyncio.create_task(client.call("ping"))
            peer.json(frames.RESULT, (await peer.next(frames.OPEN)).stream)
            assert await calling == {}
            assert peers.empty()

    asyncio.run(main())


BAD = {
    "a result without data": frames.encode_json(frames.EVENT, 1, {"event": "result"}),
    "an error without a name": frames.encode_json(frames.EVENT, 1, {"event": "raised"}),
    "a part without text": frames.encode_json(
        frames.EVENT, 1, {"event": "result_part", "id": 1, "mime": "a", "part": 1}
    ),
    "parts that are no JSON": frames.encode_json(
        frames.EVENT, 1, {"event": "result_part", "id": 1, "mime": "a", "part": "{"}
    )
    + frames.encode_json(
        frames.EVENT, 1, {"event": "result", "data": {}, "parts": 1, "json_parts": ["a"]}
    ),
    "an end without a context": frames.encode_json(frames.RESULT, 1, {"execution_count": 1}),
    "an exit code of 300": frames.encode_json(frames.RESULT, 1, {**ENDED, "exit_code": 300}),
    "data on channel 0": frames.encode(frames.DATA, 1, b"x"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_a_guest_may_not_say(data: bytes) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            cell, peer, _ = await run(peers, client)
            peer.send(data)
            with pytest.raises(ExecLostError) as caught:
                await collect(cell)
            assert isinstance(caught.value.__cause__, ProtocolError)
            await peer.closed()

    asyncio.run(main())
