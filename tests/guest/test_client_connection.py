"""What the client itself sends, and when it makes which connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandboxkit.errors import (
    ExecError,
    FileError,
    InvalidRequestError,
    NotFoundError,
    PathNotFoundError,
    PathPermissionError,
    ProcessNotFoundError,
    RateLimitError,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
    UnsupportedError,
)
from sandboxkit.guest.agent import frames
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.process import GuestProcess
from sandboxkit.guest.wire import guest_error
from sandboxkit.models import OutputChunk
from sandboxkit.provider import StartRequest

from .client_peer import Peer, peer_and_client


async def answer(peer: Peer) -> None:
    peer.json(frames.RESULT, (await peer.next(frames.OPEN)).stream)


def test_the_greeting_carries_the_token() -> None:
    async def main() -> None:
        async with peer_and_client(token="secret") as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            hello = (await peer.next(frames.HELLO)).json()
            assert (hello["major"], hello["token"]) == (1, "secret")
            await answer(peer)
            await calling

    asyncio.run(main())


def test_concurrent_calls_share_one_dial() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            calls = [asyncio.create_task(client.call("ping")) for _ in range(20)]
            peer = await peers.get()
            for _ in calls:
                await answer(peer)
            await asyncio.gather(*calls)
            assert peers.empty()

    asyncio.run(main())


def test_a_cancelled_call_does_not_end_the_dial_of_others() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            first = asyncio.create_task(client.call("ping"))
            second = asyncio.create_task(client.call("ping"))
            await asyncio.sleep(0)
            first.cancel()
            peer = await peers.get()
            await answer(peer)
            await second
            assert first.cancelled()

    asyncio.run(main())


def test_a_lost_connection_is_made_again_and_nothing_is_sent_twice() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            await peer.next(frames.OPEN)
            peer.close()
            with pytest.raises(TransportError) as caught:
                await calling
            assert caught.value.outcome == "unknown"
            assert peers.empty()
            calling = asyncio.create_task(client.call("ping"))
            await answer(await peers.get())
            await calling

    asyncio.run(main())


def test_a_failed_dial_was_not_started() -> None:
    async def main() -> None:
        async def dial(factory: Any) -> Any:
            raise TransportError("nobody there", outcome="not_started")

        client = GuestClient(dial)
        with pytest.raises(TransportError) as caught:
            await client.call("ping")
        assert caught.value.outcome == "not_started"
        await client.aclose("expired")
        with pytest.raises(SandboxNotFoundError) as gone:
            await client.call("ping")
        assert gone.value.cause == "expired"

    asyncio.run(main())


def test_closing_says_goodbye_and_ends_what_waits() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            calling = asyncio.create_task(client.call("ping"))
            peer = await peers.get()
            await peer.next(frames.OPEN)
            await client.aclose()
            await peer.next(frames.BYE)
            with pytest.raises(TransportError, match="closed"):
                await calling

    asyncio.run(main())


def test_credit_is_granted_only_for_what_was_taken() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            request = StartRequest(sandbox_id="a", command="true")
            starting = asyncio.create_task(GuestProcess.start(client, request))
            peer = await peers.get()
            stream = await peer.started()
            process = await starting
            for _ in range(4):
                peer.data(stream, bytes(65536))
            calling = asyncio.create_task(client.call("ping"))
            seen = [await peer.frame() for _ in range(1)]
            assert [frame.type for frame in seen] == [frames.OPEN]
            peer.json(frames.RESULT, seen[0].stream)
            await calling
            taken = 0
            async for event in process.events():
                assert isinstance(event, OutputChunk)
                taken += len(event.data)
                if taken == 3 * 65536:
                    break
            granted = sum([(await peer.next(frames.CREDIT)).credit() for _ in range(3)])
            assert granted == taken
            await process.detach()

    asyncio.run(main())


def test_a_guest_that_does_not_read_gets_no_credit() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            request = StartRequest(sandbox_id="a", command="true")
            starting = asyncio.create_task(GuestProcess.start(client, request))
            peer = await peers.get()
            stream = await peer.started()
            process = await starting
            connection = await client.connection()
            connection.pause_writing()
            for _ in range(4):
                peer.data(stream, bytes(65536))
            taken = 0
            async for event in process.events():
                assert isinstance(event, OutputChunk)
                taken += len(event.data)
                if taken == 4 * 65536:
                    break
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_size() == 0
            connection.resume_writing()
            assert (await peer.next(frames.CREDIT)).credit() == taken
            await process.detach()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("op", "error", "kind"),
    [
        ("attach", {"code": "not_found"}, ProcessNotFoundError),
        ("kill_tree", {"code": "not_found"}, ProcessNotFoundError),
        ("run_code", {"code": "not_found"}, NotFoundError),
        ("start", {"code": "no_such_cwd", "path": "/x"}, PathNotFoundError),
        ("start", {"code": "no_such_user"}, InvalidRequestError),
        ("start", {"code": "bad_request"}, InvalidRequestError),
        ("start", {"code": "unsupported"}, UnsupportedError),
        ("start", {"code": "too_many"}, RateLimitError),
        ("run_code", {"code": "broken"}, ExecError),
        ("read", {"code": "errno", "errno": 2, "path": "/x"}, PathNotFoundError),
        ("read", {"code": "errno", "errno": 1, "path": "/x"}, PathPermissionError),
        ("read", {"code": "errno", "errno": 28, "path": "/x"}, FileError),
        ("read", {"code": "errno", "errno": "x", "path": 5}, FileError),
        ("read", {"code": ["news"]}, TransportError),
        ("read", {}, TransportError),
    ],
)
def test_errors_of_the_guest(op: str, error: dict[str, Any], kind: type[SandboxError]) -> None:
    ours = guest_error(op, {"message": "what " * 10_000, **error})
    assert type(ours) is kind
    assert len(ours.message) < 3000
