"""The operation `metrics` of the real agent."""

from __future__ import annotations

import os
import subprocess
import time

from tests.guest.rawclient import Agent, RawClient, eventually


def metrics(client: RawClient) -> dict[str, float]:
    result = client.call("metrics").result
    assert result is not None
    return result


def test_only_what_is_below_the_agent_counts(client: RawClient) -> None:
    beside = subprocess.Popen(["sleep", "100"])
    try:
        assert "metrics" in client.hello["features"]
        before = metrics(client)
        assert before.keys() == {
            "cpu_seconds",
            "disk_size",
            "disk_used",
            "memory_used",
            "processes",
        }
        assert before["processes"] == 0
        shell = "sleep 100 & (setsid sleep 100 &); wait"
        stream = client.open("start", shell=shell)
        client.event(stream, "started")
        assert eventually(lambda: metrics(client)["processes"] == 3)
        client.control(stream, do="terminate", grace=0)
        client.finish(stream)
        assert metrics(client)["processes"] == 0
    finally:
        beside.kill()
        beside.wait()


def test_it_tells_its_own_memory(agent: Agent, client: RawClient) -> None:
    assert agent.rss() // 4 <= metrics(client)["memory_used"] <= agent.rss() + (1 << 20)


def test_cpu_time_of_those_that_ended(client: RawClient) -> None:
    before = metrics(client)["cpu_seconds"]
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    outcome = client.call("start", argv=["python3", "-c", busy])
    assert outcome.result is not None
    assert 0.45 <= metrics(client)["cpu_seconds"] - before <= 3


def test_others_are_served_meanwhile(agent: Agent, client: RawClient) -> None:
    """Many processes are looked at a few at a time."""
    script = "for i in $(seq 300); do sleep 100 & done; echo ready; wait"
    stream = client.open("start", shell=script)
    assert client.frame(stream).json()["event"] == "started"
    client.frame(stream)
    asked = client.open("metrics")
    pinged = client.open("ping")
    assert client.finish(pinged).result == {}
    assert not client.inbox[asked], "the count came first"
    result = client.finish(asked).result
    assert result is not None
    assert result["processes"] == 301
    client.control(stream, do="terminate", grace=0)
    client.finish(stream)


def test_letting_go_of_it(agent: Agent, client: RawClient) -> None:
    for _ in range(20):
        stream = client.open("metrics")
        client.reset(stream)
        assert client.finish(stream).error is None
    before = len(os.listdir(f"/proc/{agent.pid}/fd"))
    other = agent.dial()
    other.open("metrics")
    other.sock.close()
    deadline = time.monotonic() + 10
    while len(os.listdir(f"/proc/{agent.pid}/fd")) > before and time.monotonic() < deadline:
        pass
    assert client.call("ping").result == {}
