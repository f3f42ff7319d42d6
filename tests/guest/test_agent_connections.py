"""What a connection may do to the agent: nothing but end itself."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from pathlib import Path

import pytest

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.connection import Numbers, equal_tokens
from tests.guest.fuzz_frames import mutated
from tests.guest.rawclient import Agent, RawClient, eventually

HELLO = frames.encode_json(frames.HELLO, 0, {"major": 1, "minor": 0, "token": ""})
PING = frames.encode_json(frames.OPEN, 1, {"op": "ping"})


def header(kind: int, stream: int, length: int, channel: int = 0, flags: int = 0) -> bytes:
    return struct.pack(">BBHII", kind, channel, flags, stream, length)


VIOLATIONS = {
    "no hello": PING,
    "garbage": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hellos": HELLO + HELLO,
    "two gibibytes": HELLO + header(frames.DATA, 1, 2**31),
    "unknown type": HELLO + header(77, 1, 0),
    "from the guest only": HELLO + frames.encode_json(frames.RESULT, 1, {}),
    "stream used twice": HELLO + PING + PING,
    "stream never opened": HELLO + frames.encode(frames.RESET, 9),
    "not JSON": HELLO + header(frames.OPEN, 1, 3) + b"abc",
    "not an object": HELLO + header(frames.OPEN, 1, 2) + b"[]",
    "deep JSON": HELLO + header(frames.OPEN, 1, 100_000) + b"[" * 100_000,
    "data on another channel": HELLO
    + frames.encode_json(frames.OPEN, 1, {"op": "start", "argv": ["sleep", "1"]})
    + frames.encode(frames.DATA, 1, b"x", 1),
    "data beyond the credit": HELLO
    + frames.encode_json(frames.OPEN, 1, {"op": "start", "argv": ["sleep", "5"], "stdin": True})
    + frames.encode(frames.DATA, 1, bytes(frames.MAX_DATA)) * 40,
    "data after the end": HELLO
    + frames.encode_json(frames.OPEN, 1, {"op": "start", "argv": ["sleep", "1"]})
    + frames.encode(frames.DATA, 1, b"", fin=True)
    + frames.encode(frames.DATA, 1, b"x"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_closes_only_its_connection(agent: Agent, client: RawClient, name: str) -> None:
    bad = agent.dial(greet=False)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        bad.send(VIOLATIONS[name])
    bad.wait_closed()
    assert client.call("ping").result == {}
    assert agent.dial().call("ping").result == {}


def test_half_a_frame_is_no_violation(agent: Agent) -> None:
    slow = agent.dial(greet=False)
    for byte in HELLO + PING:
        slow.send(bytes([byte]))
        time.sleep(0.001)
    assert slow.frame(0).type == frames.HELLO
    assert slow.frame(1).type == frames.RESULT


def test_frames_of_ended_streams_are_ignored(client: RawClient) -> None:
    stream = client.open("ping")
    client.finish(stream)
    client.send(frames.encode(frames.DATA, stream, b"late"))
    client.send(frames.encode(frames.RESET, stream))
    client.send(frames.encode_credit(stream, 0, 5))
    client.control(stream, do="signal")
    assert client.call("ping").result == {}


def test_an_unknown_operation_fails_alone(client: RawClient) -> None:
    for op in ("no_such_op", 5, None, [], "x" * 100_000):
        outcome = client.finish(client.open(op))  # type: ignore[arg-type]
        assert outcome.error is not None
        assert outcome.error["code"] == "unsupported"
    assert client.call("ping").result == {}


def test_another_major_version_is_told_and_closed(agent: Agent) -> None:
    other = agent.dial(greet=False)
    other.send_json(frames.HELLO, 0, {"major": 2, "minor": 0, "token": ""})
    assert other.frame(0).json()["major"] == 1
    other.wait_closed()


def test_unknown_fields_are_ignored(agent: Agent) -> None:
    other = agent.dial(greet=False)
    other.send_json(frames.HELLO, 0, {"major": 1, "minor": 99, "new": [], "token": ""})
    assert other.frame(0).json()["minor"] == 0
    assert other.call("ping", new=1).result == {}


def test_a_token_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_TOKEN", "s3cret")
    agent = Agent(tmp_path, "--token-env=AGENT_TOKEN")
    try:
        for wrong in ("", "s3cre", "s3crets", "\ud800"):
            bad = agent.dial(greet=False)
            bad.send_json(frames.HELLO, 0, {"major": 1, "minor": 0, "token": wrong})
            bad.wait_closed()
            assert not bad.inbox
        for odd in ({"major": 1}, {"major": 1, "token": 5}, {"major": 1, "token": ["s3cret"]}):
            bad = agent.dial(greet=False)
            bad.send_json(frames.HELLO, 0, odd)
            bad.wait_closed()
            assert not bad.inbox
        good = agent.dial(token="s3cret")
        assert b"s3cret" not in good.call("start", argv=["env"]).stdout
    finally:
        agent.stop()
    assert agent.errors == b""


def test_tokens_are_compared_whole() -> None:
    assert equal_tokens("", "")
    assert equal_tokens("abc", "abc")
    for one, other in [("abc", "abd"), ("abc", "ab"), ("", "a"), ("abc", "abcabc")]:
        assert not equal_tokens(one, other)
        assert not equal_tokens(other, one)


def test_numbers_are_remembered_in_little_memory() -> None:
    numbers = Numbers()
    for number in (3, 1, 2, 4, 9):
        numbers.use(number)
    assert 4 in numbers
    assert 9 in numbers
    assert 5 not in numbers
    for number in (1, 4, 9):
        with pytest.raises(frames.FrameError):
            numbers.use(number)
    with pytest.raises(frames.FrameError):
        _use(numbers, range(10, 10_000_000, 2))


def _use(numbers: Numbers, used: range) -> None:
    for number in used:
        numbers.use(number)


def test_a_flood_of_questions_without_taking_answers_costs_no_memory(
    agent: Agent, client: RawClient
) -> None:
    client.call("ping")
    before = agent.rss()
    flood = agent.dial()
    flood.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        _flood(flood)
    assert agent.rss() - before < 10 << 20
    assert client.call("ping").result == {}


def _flood(client: RawClient) -> None:
    for first in range(1, 2_000_000, 1000):
        questions = [
            frames.encode_json(frames.OPEN, number, {"op": "processes"})
            for number in range(first, first + 1000)
        ]
        client.send(b"".join(questions))


def test_too_many_streams_are_refused(client: RawClient) -> None:
    first = client.open("start", shell="cat", stdin=True)
    client.event(first, "started")
    pid = client.call("processes").result["processes"][0]["pid"]
    streams = [client.open("attach", pid=pid) for _ in range(4100)]
    assert client.finish(streams[-1]).error["code"] == "too_many"
    client.write(first, b"")
    assert client.finish(first).event("exited")["code"] == 0
    assert client.finish(streams[0]).event("exited")["code"] == 0


def test_silent_and_many_connections_do_no_harm(agent: Agent, client: RawClient) -> None:
    silent = []
    for _ in range(300):
        sock = socket.socket(socket.AF_UNIX)
        agent.dialled.append(sock)
        if eventually(lambda sock=sock: sock.connect_ex(agent.socket_path) == 0):
            silent.append(sock)
    assert client.call("ping").result == {}
    for sock in silent:
        sock.close()

    def served() -> bool:
        try:
            return agent.dial().call("ping").result == {}
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return False

    assert eventually(served)


def test_random_floods(agent: Agent, client: RawClient) -> None:
    rng = random.Random(7)
    for _ in range(150):
        sock = agent.dial(greet=rng.random() < 0.7).sock
        try:
            for _ in range(rng.randint(1, 5)):
                sock.sendall(mutated(rng))
        except (BrokenPipeError, ConnectionResetError):
            pass
        sock.close()
    assert client.call("ping").result == {}
    assert client.call("start", shell="echo alive").stdout == b"alive\n"
