"""Watches, against a guest whose every frame the test decides, and a real one that is cut off."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.errors import (
    PathNotFoundError,
    ProtocolError,
    RateLimitError,
    SandboxNotFoundError,
    TransportError,
)
from sandboxkit.guest.agent import frames
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.watch import GuestWatch
from sandboxkit.models import FileEvent
from sandboxkit.provider import WatchRequest

from .client_peer import Peer, peer_and_client
from .client_unsandboxed import sandbox

REQUEST = WatchRequest(sandbox_id="a", path="/w", recursive=True)


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


CREATED = line(kind="created", path="/w/a", type="file")


async def begin(peers: asyncio.Queue[Peer], client: GuestClient) -> tuple[GuestWatch, Peer, int]:
    setting = asyncio.ensure_future(GuestWatch.begin(client, REQUEST))
    peer = await peers.get()
    opened = await peer.next(frames.OPEN)
    assert opened.json() == {"op": "watch", "path": "/w", "recursive": True}
    assert not setting.done()
    peer.event(opened.stream, "watching")
    return await setting, peer, opened.stream


async def collect(watch: GuestWatch) -> list[FileEvent]:
    return [event async for event in watch.events()]


def test_events_until_the_directory_is_gone() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            watch, peer, stream = await begin(peers, client)
            peer.data(
                stream,
                CREATED + line(kind="renamed", path="/w/a", type="file", target="/w/b", new=1),
                0,
            )
            peer.event(stream, "from the future")
            peer.data(stream, line(kind="removed", path="/w", type="directory"), 0, fin=True)
            peer.json(frames.RESULT, stream)
            assert await collect(watch) == [
                FileEvent("created", "/w/a", "file"),
                FileEvent("renamed", "/w/a", "file", "/w/b"),
                FileEvent("removed", "/w", "directory"),
            ]

    asyncio.run(main())


HOSTILE = {
    "half a line": CREATED[:-1],
    "no line": b"",
    "an empty line": b"\n",
    "no JSON": b"nonsense\n",
    "no object": b"[]\n",
    "an unknown kind": line(kind="eaten", path="/w/a", type="file"),
    "an unknown type": line(kind="created", path="/w/a", type="door"),
    "no path": line(kind="created", type="file"),
    "no target": line(kind="renamed", path="/w/a", type="file"),
    "elsewhere": line(kind="created", path="/etc/passwd", type="file"),
    "beside": line(kind="created", path="/w2", type="file"),
    "the way out": line(kind="created", path="/w/../etc/passwd", type="file"),
    "another way out": line(kind="renamed", path="/w/a", type="file", target="/w/b/../../c"),
    "NUL": line(kind="created", path="/w/a\0b", type="file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hostile_guest_says(name: str) -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            watch, peer, stream = await begin(peers, client)
            peer.data(stream, CREATED + HOSTILE[name], 0)
            if not HOSTILE[name]:
                peer.json(frames.RESULT, stream, nonsense=1)
                assert await collect(watch) == [FileEvent("created", "/w/a", "file")]
                return
            with pytest.raises(ProtocolError):
                await collect(watch)
            await peer.closed()

    asyncio.run(main())


def test_no_more_comes_than_there_is_credit_for() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            watch, peer, stream = await begin(peers, client)
            batch = CREATED * (frames.MAX_DATA // len(CREATED))
            sent = 0
            while sent + len(batch) <= frames.WINDOW:
                peer.data(stream, batch, 0)
                sent += len(batch)
            events = watch.events()
            for _ in range(frames.WINDOW // 2 // len(CREATED)):
                await anext(events)
            granted = (await peer.next(frames.CREDIT)).credit()
            assert frames.WINDOW // 4 <= granted <= frames.WINDOW // 2
            for _ in range(8):
                peer.data(stream, batch, 0)
            await peer.closed()
            with pytest.raises(ProtocolError, match="credit"):
                async for _ in events:
                    pass

    asyncio.run(main())


def test_what_the_guest_answers_at_once_and_later() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            setting = asyncio.ensure_future(GuestWatch.begin(client, REQUEST))
            peer = await peers.get()
            stream = (await peer.next(frames.OPEN)).stream
            missing = {"code": "errno", "errno": 2, "path": "/w", "message": "none"}
            peer.json(frames.ERROR, stream, **missing)
            with pytest.raises(PathNotFoundError):
                await setting
            setting = asyncio.ensure_future(GuestWatch.begin(client, REQUEST))
            stream = (await peer.next(frames.OPEN)).stream
            peer.json(frames.RESULT, stream)
            with pytest.raises(ProtocolError):
                await setting
            setting = asyncio.ensure_future(GuestWatch.begin(client, REQUEST))
            stream = (await peer.next(frames.OPEN)).stream
            peer.event(stream, "watching")
            watch = await setting
            peer.data(stream, CREATED, 0)
            peer.json(frames.ERROR, stream, code="too_many", message="watches")
            events = watch.events()
            assert (await anext(events)).path == "/w/a"
            with pytest.raises(RateLimitError) as caught:
                await anext(events)
            assert caught.value.op == "watch"

    asyncio.run(main())


def test_letting_go() -> None:
    async def main() -> None:
        async with peer_and_client() as (peers, client):
            watch, peer, stream = await begin(peers, client)
            await watch.aclose()
            await watch.aclose()
            assert (await peer.next(frames.RESET)).stream == stream
            assert await collect(watch) == []
            setting = asyncio.ensure_future(GuestWatch.begin(client, REQUEST))
            stream = (await peer.next(frames.OPEN)).stream
            setting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await setting
            assert (await peer.next(frames.RESET)).stream == stream

    asyncio.run(main())


def test_a_cut_is_told_and_not_mended(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = WatchRequest(sandbox_id=sid, path=str(tmp_path))
            watch = await provider.watch(request)
            (tmp_path / "f").mkdir()
            events = watch.events()
            assert (await anext(events)).path == str(tmp_path / "f")
            provider.cut()
            with pytest.raises(TransportError) as cut:
                await anext(events)
            assert (cut.value.op, cut.value.sandbox_id) == ("watch", sid)
            # Another can be set.
            watch = await provider.watch(request)
            await provider.die(sid, "oom")
            with pytest.raises(SandboxNotFoundError) as gone:
                await anext(watch.events())
            assert gone.value.cause == "oom"

    asyncio.run(main())
