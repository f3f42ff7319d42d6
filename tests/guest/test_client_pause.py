"""What a client makes of a guest that says it is paused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sandboxkit.errors import (
    CommandTimeoutError,
    SandboxPausedError,
)
from sandboxkit.execution import run_command
from sandboxkit.guest import process
from sandboxkit.guest.agent import frames
from sandboxkit.guest.process import GuestProcess
from sandboxkit.models import SandboxInfo, SandboxState
from sandboxkit.provider import Paused, Resumed, StartRequest

from .client_peer import peer_and_client


class Provider:
    """Knows what is true of the sandbox."""

    state: SandboxState = "running"
    asked = 0

    async def find(self) -> SandboxInfo:
        self.asked += 1
        return SandboxInfo(id="x", provider="p", created_at=datetime.now(UTC), state=self.state)


REQUEST = StartRequest(sandbox_id="x", command="sleep", timeout=0.1, grace=0.1)


def test_calls_are_refused_while_it_is_paused() -> None:
    async def main() -> None:
        provider = Provider()
        async with peer_and_client(find=provider.find) as (peers, client):
            await client.hello()
            peer = await peers.get()
            provider.state = "paused"
            peer.event(0, "paused")
            await asyncio.sleep(0.05)
            with pytest.raises(SandboxPausedError) as caught:
                await client.call("ping")
            assert caught.value.outcome == "not_started"
            assert "p:x" in str(caught.value)
            # To end something is sent all the same, to be done later.
            ending = asyncio.create_task(client.call("kill_tree", pid=7, grace=0))
            assert (await peer.next(frames.OPEN)).json()["op"] == "kill_tree"
            ending.cancel()
            # Somebody else resumed it, and the guest has not come to say so.
            provider.state = "running"
            calling = asyncio.create_task(client.call("ping"))
            peer.json(frames.RESULT, (await peer.next(frames.OPEN)).stream)
            assert await calling == {}

    asyncio.run(main())


def test_the_guard_stands_still_only_if_the_provider_says_so() -> None:
    async def main(state: SandboxState) -> float:
        provider = Provider()
        async with peer_and_client(find=provider.find) as (peers, client):
            start = asyncio.get_running_loop().time()
            running = asyncio.create_task(
                run_command(lambda request: GuestProcess.start(client, request), REQUEST)
            )
            peer = await peers.get()
            stream = await peer.started()
            provider.state = state
            peer.event(0, "paused")
            if state == "paused":
                await asyncio.sleep(3)  # longer than timeout, grace and guard
                assert not running.done()
                provider.state = "running"
                peer.event(0, "resumed")
                peer.event(stream, "exited", code=0, signal=None)
                assert (await running).exit_code == 0
            else:
                with pytest.raises(CommandTimeoutError):
                    await running
            return asyncio.get_running_loop().time() - start

    assert asyncio.run(main("paused")) >= 3
    assert asyncio.run(main("running")) < 10


def test_a_flood_of_pauses_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_PAUSES", 50)

    async def main() -> None:
        provider = Provider()
        async with peer_and_client(find=provider.find) as (peers, client):
            starting = asyncio.create_task(GuestProcess.start(client, REQUEST))
            peer = await peers.get()
            await peer.started()
            started = await starting
            for _ in range(200):
                peer.event(0, "paused")
                peer.event(0, "resumed")
            await peer.closed()
            assert provider.asked < 200
            await started.detach()

    asyncio.run(main())


def test_events_of_a_process_say_how_long() -> None:
    async def main() -> None:
        provider = Provider()
        async with peer_and_client(find=provider.find) as (peers, client):
            starting = asyncio.create_task(GuestProcess.start(client, REQUEST))
            peer = await peers.get()
            await peer.started()
            started = await starting
            provider.state = "paused"
            peer.event(0, "paused")
            peer.event(0, "paused")
            await asyncio.sleep(0.2)
            peer.event(0, "resumed")
            peer.event(0, "resumed")
            peer.event(0, "of another kind")
            events = started.events()
            assert isinstance(await anext(events), Paused)
            resumed = await anext(events)
            assert isinstance(resumed, Resumed)
            assert 0.15 < resumed.after < 5
            await started.detach()

    asyncio.run(main())
