"""Back-pressure, replay, gaps and bounds on memory."""

from __future__ import annotations

import hashlib
import signal
import time

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, Outcome, RawClient, eventually

MIB = 1 << 20


def counting(count: int) -> str:
    """A command that writes `count` bytes which tell their own place."""
    return f"seq 1 100000000 | head -c {count}"


def counted(count: int) -> bytes:
    text, number = bytearray(), 1
    while len(text) < count:
        text += b"%d\n" % number
        number += 1
    return bytes(text[:count])


def test_a_hundred_mebibytes_come_whole_in_little_memory(agent: Agent, client: RawClient) -> None:
    client.call("start", shell="true")
    before = agent.rss()
    stream = client.open("start", argv=["bash", "-c", "yes 0123456789abcde | head -c 104857600"])
    digest, size = hashlib.sha256(), 0
    while True:
        frame = client.frame(stream)
        if frame.type == frames.RESULT:
            break
        if frame.type == frames.DATA:
            digest.update(frame.payload)
            size += len(frame.payload)
    assert size == 100 * MIB
    assert digest.hexdigest() == hashlib.sha256(b"0123456789abcde\n" * (size // 16)).hexdigest()
    assert agent.rss(peak=True) - before < 12 * MIB


def test_a_client_that_does_not_take_holds_its_process_back(
    agent: Agent, client: RawClient
) -> None:
    client.call("start", shell="true")
    before = agent.rss()
    stream = client.open("start", shell=f"{counting(20 * MIB)}; echo done >&2")
    client.stalled.add(stream)
    size = 0
    while size < frames.WINDOW:
        size += len(client.frame(stream).payload if client.inbox[stream] else b"") or _take(
            client, stream
        )
    assert size == frames.WINDOW
    time.sleep(0.5)
    # The process waits: it has not reached its last command, and the agent holds little.
    assert client.call("processes").result["processes"][-1]["running"]
    assert not client.inbox[stream]
    assert agent.rss(peak=True) - before < 6 * MIB
    client.stalled.clear()
    client.send(frames.encode_credit(stream, frames.STDOUT, frames.WINDOW))
    outcome = client.finish(stream)
    assert len(outcome.stdout) == 20 * MIB - frames.WINDOW
    assert outcome.stdout == counted(20 * MIB)[frames.WINDOW :]
    assert outcome.stderr == b"done\n"


def _take(client: RawClient, stream: int) -> int:
    frame = client.frame(stream)
    return len(frame.payload) if frame.type == frames.DATA else 0


def test_one_stalled_stream_does_not_stop_fifty_others(client: RawClient) -> None:
    stalled = client.open("start", argv=["yes"])
    client.stalled.add(stalled)
    streams = [
        client.open("start", shell=f"echo {n}; head -c 300000 /dev/zero; echo {n} >&2")
        for n in range(50)
    ]
    for number, stream in enumerate(streams):
        outcome = client.finish(stream)
        assert outcome.stdout == b"%d\n" % number + bytes(300_000)
        assert outcome.stderr == b"%d\n" % number
        assert outcome.event("exited")["code"] == 0
    client.control(stalled, do="terminate", grace=0)
    client.event(stalled, "terminated")


def test_a_whole_connection_that_is_not_read_harms_nobody_else(
    agent: Agent, client: RawClient
) -> None:
    other = agent.dial()
    before = agent.rss()
    for _ in range(20):
        number = other.open("start", argv=["yes"])
        other.send(frames.encode_credit(number, frames.STDOUT, 2**31))
    assert client.call("start", shell="echo fine").stdout == b"fine\n"
    time.sleep(0.5)
    assert agent.rss() - before < 20 * 1.5 * MIB
    other.bye()
    _wait_for_no_process(client)


def _wait_for_no_process(client: RawClient) -> None:
    def none() -> bool:
        result = client.call("processes").result
        assert result is not None
        return not any(process["running"] for process in result["processes"])

    assert eventually(none)


def test_fifty_megabytes_of_input_to_a_slow_process(agent: Agent, client: RawClient) -> None:
    client.call("start", shell="true")
    before = agent.rss()
    data = bytes(range(256)) * 195_313
    stream = client.open("start", shell="sleep 0.3; sha256sum", stdin=True)
    client.write(stream, data)
    outcome = client.finish(stream)
    assert outcome.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert agent.rss(peak=True) - before < 6 * MIB


def test_input_credit_is_given_only_for_what_was_written(client: RawClient) -> None:
    stream = client.open("start", shell="sleep 30", stdin=True)
    client.event(stream, "started")
    block = bytes(frames.MAX_DATA)
    sent = 0
    while client.credit[stream] >= len(block):
        client.write(stream, block, fin=False)
        sent += len(block)
        client.call("ping")
        assert sent < 10 * MIB
    # The pipe took one mebibyte at most, and one window waits.
    assert sent <= MIB + frames.WINDOW
    client.control(stream, do="terminate", grace=0)
    client.event(stream, "terminated")


def test_a_process_that_closes_its_input_is_reported(client: RawClient) -> None:
    stream = client.open("start", shell="exec <&-; echo closed; sleep 0.5", stdin=True)
    client.event(stream, "stdin_closed")
    client.write(stream, bytes(3 * MIB))
    outcome = client.finish(stream)
    assert outcome.stdout == b"closed\n"
    assert outcome.event("exited")["code"] == 0


def test_input_ends(client: RawClient) -> None:
    stream = client.open("start", argv=["cat"], stdin=True)
    client.write(stream, b"one ", fin=False)
    client.write(stream, b"two")
    assert client.finish(stream).stdout == b"one two"
    assert client.call("start", argv=["cat"]).event("exited")["code"] == 0


def test_attach_replays_from_a_cursor(agent: Agent, client: RawClient) -> None:
    stream = client.open("start", shell="printf 0123456789; printf abc >&2; sleep 30", bound=False)
    pid = client.event(stream, "started")["pid"]
    while client.frame(stream).payload != b"abc":
        pass
    other = agent.dial()
    second = other.open("attach", pid=pid, stdout=4, stderr=1)
    attached = other.frame(second).json()
    assert attached == {
        "event": "attached",
        "pid": pid,
        "stdout": 4,
        "stderr": 1,
        "stdin": 0,
        "terminal": False,
    }
    assert {other.frame(second).payload for _ in range(2)} == {b"456789", b"bc"}
    client.control(stream, do="terminate")
    for listener, number in ((client, stream), (other, second)):
        outcome = listener.finish(number)
        assert outcome.event("exited")["signal"] == signal.SIGTERM
        assert outcome.result == {"closed": True}


def test_an_ended_process_is_replayed(client: RawClient) -> None:
    pid = client.call("start", shell="echo out; echo err >&2; exit 5").event("started")["pid"]
    outcome = client.call("attach", pid=pid)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert outcome.event("exited")["code"] == 5
    assert outcome.result == {"closed": True}
    assert client.call("attach", pid=pid, stdout=99, stderr=0).event("attached")["stdout"] == 4
    error = client.call("attach", pid=99_999_999).error
    assert error is not None
    assert error["code"] == "not_found"


def test_an_observer_gets_a_gap_and_holds_nothing_back(agent: Agent, client: RawClient) -> None:
    stream = client.open("start", shell=f"read go; {counting(8 * MIB)}", stdin=True)
    pid = client.event(stream, "started")["pid"]
    observer = agent.dial()
    second = observer.open("attach", pid=pid)
    observer.stalled.add(second)
    observer.event(second, "attached")
    client.write(stream, b"go\n")
    expected = counted(8 * MIB)
    assert client.finish(stream).stdout == expected

    observer.stalled.clear()
    observer.send(frames.encode_credit(second, frames.STDOUT, frames.WINDOW))
    at, gaps = 0, 0
    while True:
        frame = observer.frame(second)
        if frame.type == frames.DATA:
            assert frame.payload == expected[at : at + len(frame.payload)]
            at += len(frame.payload)
        elif frame.type == frames.EVENT and frame.json()["event"] == "gap":
            gap = frame.json()
            assert (gap["channel"], gap["start"]) == (frames.STDOUT, at)
            at = gap["end"]
            gaps += 1
        elif frame.type == frames.RESULT:
            break
    assert at == len(expected)
    assert gaps >= 1


def test_detached_output_drains_and_the_last_of_it_is_kept(client: RawClient) -> None:
    stream = client.open("start", shell=f"{counting(6 * MIB)}; echo end >&2")
    pid = client.event(stream, "started")["pid"]
    client.stalled.add(stream)
    client.reset(stream)
    assert client.finish(stream).result == {"closed": False}

    outcome = Outcome()
    assert eventually(lambda: not client.call("processes").result["processes"][-1]["running"])
    outcome = client.call("attach", pid=pid)
    start = outcome.event("attached")["stdout"]
    assert outcome.stdout == counted(6 * MIB)[start:]
    assert len(outcome.stdout) >= MIB
    assert outcome.stderr == b"end\n"
    assert outcome.event("exited")["code"] == 0


def test_the_output_of_many_ended_processes_is_bounded(agent: Agent, client: RawClient) -> None:
    before = agent.rss()
    pids = [
        client.call("start", argv=["head", "-c", "1048576", "/dev/zero"]).event("started")["pid"]
        for _ in range(100)
    ]
    assert agent.rss() - before < 60 * MIB
    assert len(client.call("attach", pid=pids[-1]).stdout) == MIB
    assert client.call("attach", pid=pids[0]).event("attached")["stdout"] == MIB


def test_at_most_256_ended_processes_are_remembered(client: RawClient) -> None:
    for _ in range(270):
        client.call("start", argv=["true"])
    result = client.call("processes").result
    assert result is not None
    assert len(result["processes"]) == 256
