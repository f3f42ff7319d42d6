"""The agent's time stands still, its clients are told, and idle time is counted."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.idle import Idle
from sandboxkit.guest.agent.loop import Loop
from tests.guest.rawclient import RawClient
from tests.guest.test_agent_control import Maker


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[Maker]:
    made = Maker(tmp_path)
    assert made.hear() == {"event": "ready"}
    yield made
    assert made.stop() == b""


def listening(maker: Maker) -> RawClient:
    """A client that wants to hear of pauses."""
    ours, theirs = socket.socketpair()
    maker.sockets.append(ours)
    maker.say({"do": "connect"}, theirs.fileno())
    theirs.close()
    client = RawClient(ours, greet=False)
    hello = {"major": 1, "minor": 0, "token": "", "features": ["pause", 7]}
    client.send_json(frames.HELLO, 0, hello)
    assert client.frame(0).type == frames.HELLO
    return client


def told(client: RawClient) -> dict[str, Any]:
    frame = client.frame(0)
    assert frame.type == frames.EVENT
    return frame.json()


def test_a_timeout_stands_still_until_resumed(maker: Maker) -> None:
    client = maker.dial()
    stream = client.open("start", argv=["sleep", "300"], timeout=1.0)
    client.event(stream, "started")
    start = time.monotonic()
    maker.say({"do": "pausing", "if_idle": False})
    assert maker.hear() == {"event": "still", "ok": True}
    time.sleep(2)
    maker.say({"do": "resumed"})
    assert client.event(stream, "exited")["timed_out"] is True
    assert time.monotonic() - start > 2.5


def test_clients_that_want_to_are_told_and_others_not(maker: Maker) -> None:
    plain, curious = maker.dial(), listening(maker)
    maker.say({"do": "pausing", "if_idle": False})
    assert maker.hear() == {"event": "still", "ok": True}
    assert told(curious) == {"event": "paused"}
    maker.say({"do": "resumed"})
    assert told(curious) == {"event": "resumed"}
    assert plain.call("ping").result == {}
    assert not plain.inbox.get(0)


def test_one_that_is_not_idle_is_not_paused_for_idleness(maker: Maker) -> None:
    client = listening(maker)
    stream = client.open("start", argv=["sleep", "300"], timeout=1.0)
    client.event(stream, "started")
    maker.say({"do": "pausing", "if_idle": True})
    assert maker.hear() == {"event": "still", "ok": False}
    assert client.event(stream, "exited")["timed_out"] is True  # its clock goes on
    client.finish(stream)
    maker.say({"do": "pausing", "if_idle": True})
    assert maker.hear() == {"event": "still", "ok": True}
    assert told(client) == {"event": "paused"}
    maker.say({"do": "resumed"})


def test_a_client_that_does_not_read_is_not_waited_for_by_the_others(maker: Maker) -> None:
    stuck, curious = listening(maker), listening(maker)
    stuck.open("start", argv=["yes"])
    time.sleep(0.5)
    maker.say({"do": "pausing", "if_idle": False})
    assert told(curious) == {"event": "paused"}
    maker.say({"do": "resumed"})
    assert told(curious) == {"event": "resumed"}


def run_for(loop: Loop, seconds: float) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run()


def test_the_clock_of_the_loop() -> None:
    loop = Loop()
    fired: list[str] = []
    note: Callable[[str], Callable[[], None]] = lambda text: lambda: fired.append(text)  # noqa: E731
    loop.call_later(0.05, note("a"))
    loop.stop_clock()
    loop.stop_clock()
    at = loop.time()
    time.sleep(0.2)
    assert loop.time() == at
    loop.start_clock()
    loop.start_clock()
    assert loop.time() - at < 0.1
    loop.call_later(0.02, note("b"))
    run_for(loop, 0.1)
    assert fired == ["b", "a"]
    loop.close()


def test_idle_time_counts_from_the_last_operation() -> None:
    loop = Loop()
    idle = Idle(loop)
    over: list[float] = []
    begin = time.monotonic()
    idle.limit(0.1, lambda: over.append(time.monotonic() - begin))
    idle.begin()
    idle.begin()
    loop.call_later(0.15, idle.end)
    loop.call_later(0.3, idle.end)
    run_for(loop, 0.6)
    assert len(over) == 1
    assert over[0] >= 0.39
    idle.limit(None, lambda: over.append(0.0))
    run_for(loop, 0.15)
    assert len(over) == 1
    loop.close()
