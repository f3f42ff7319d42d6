"""Terminals as the agent serves them."""

from __future__ import annotations

from typing import Any

import pytest

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, RawClient, eventually

SIZE = {"rows": 24, "columns": 80}


def until(client: RawClient, stream: int, text: bytes) -> None:
    """Take output until `text` was in it."""
    seen = b""
    while text not in seen:
        frame = client.frame(stream)
        if frame.type == frames.DATA:
            seen += frame.payload


@pytest.mark.parametrize(
    "terminal",
    [
        {},
        {"rows": 24},
        {"rows": 0, "columns": 80},
        {"rows": 24, "columns": 40_000},
        {"rows": "24", "columns": 80},
        {"rows": True, "columns": 80},
        [24, 80],
        True,
    ],
)
def test_sizes_that_cannot_be(client: RawClient, terminal: Any) -> None:
    outcome = client.call("start", shell="true", terminal=terminal)
    assert outcome.error is not None
    assert outcome.error["code"] == "bad_request"
    assert client.call("processes").result == {"processes": []}


def test_all_output_is_on_one_channel(client: RawClient) -> None:
    outcome = client.call("start", shell="echo out; echo err >&2; exit 3", terminal=SIZE)
    assert (outcome.stdout, outcome.stderr) == (b"out\r\nerr\r\n", b"")
    assert outcome.order.index("fin2") < outcome.order.index("data1")
    assert outcome.event("exited")["code"] == 3
    assert outcome.result == {"closed": True}


def test_the_agent_keeps_no_terminal_of_its_own(agent: Agent, client: RawClient) -> None:
    before = client.call("start", shell=f"ls /proc/{agent.pid}/fd | wc -l").stdout
    for _ in range(3):
        client.call("start", shell="true", terminal=SIZE)
    assert client.call("start", shell=f"ls /proc/{agent.pid}/fd | wc -l").stdout == before
    with open(f"/proc/{agent.pid}/stat") as stat:
        fields = stat.read().rpartition(") ")[2].split()
    assert fields[4] == own_terminal(), "the agent took a terminal as its own"


def own_terminal() -> str:
    """The controlling terminal that the tests, and so the agent, were started with."""
    with open("/proc/self/stat") as stat:
        return stat.read().rpartition(") ")[2].split()[4]


def test_the_end_of_input_is_typed_where_it_is_one(client: RawClient) -> None:
    stream = client.open("start", shell="cat; echo after", terminal=SIZE)
    client.write(stream, b"line\n")
    outcome = client.finish(stream)
    assert outcome.stdout == b"line\r\nline\r\nafter\r\n"


def test_background_children_go_on_writing(client: RawClient) -> None:
    """The session's leader is gone, and its terminal is still drained."""
    shell = "trap '' HUP; (sleep 0.3; seq 20000; echo late) & echo early"
    outcome = client.call("start", shell=shell, terminal=SIZE)
    assert outcome.order.index("exited") < outcome.order.index("fin1")
    assert outcome.stdout.startswith(b"early\r\n")
    assert outcome.stdout.endswith(b"20000\r\nlate\r\n")


def test_a_flood_does_not_hold_up_the_exit(client: RawClient) -> None:
    """A background child that never stops writing: the leader's exit is told all the same."""
    stream = client.open("start", shell="trap '' HUP; yes & echo leader", terminal=SIZE)
    client.event(stream, "exited")
    client.control(stream, do="terminate", grace=0)
    client.event(stream, "terminated")


def test_a_slow_reader_holds_up_the_program(agent: Agent, client: RawClient) -> None:
    """Nothing is lost, the agent keeps no more than its ring, and the exit waits for the reader."""
    script = "stty -onlcr; seq 600000; echo end"
    client.call("start", shell="true", terminal=SIZE)
    before = agent.rss()
    stream = client.open("start", shell=script, terminal=SIZE)
    client.stalled.add(stream)
    pid = client.event(stream, "started")["pid"]

    def total() -> int:
        listed = client.call("processes").result["processes"]
        return int(next(one["stdout"] for one in listed if one["pid"] == pid))

    assert eventually(lambda: total() > 900_000)
    assert agent.rss() - before < 8_000_000
    client.stalled.discard(stream)
    client.send(frames.encode_credit(stream, 1, frames.WINDOW))
    outcome = client.finish(stream)
    wanted = b"".join(b"%d\n" % number for number in range(1, 600_001)) + b"end\n"
    assert outcome.stdout == wanted
    assert outcome.order.index("exited") > max(
        place for place, kind in enumerate(outcome.order) if kind == "data1"
    )


def test_the_exit_waits_for_what_the_kernel_held(client: RawClient) -> None:
    """Written while nobody took it: beyond what the agent reads ahead, and then it ended."""
    ahead = (1 << 20) - 65_536
    size = ahead + 6_000
    stream = client.open("start", shell=f"stty raw; head -c {size} /dev/zero", terminal=SIZE)
    client.stalled.add(stream)
    pid = client.event(stream, "started")["pid"]

    def runs() -> bool:
        found = client.call("processes").result["processes"]
        return any(one["pid"] == pid and one["running"] for one in found)

    assert eventually(lambda: not runs(), 30.0)
    client.stalled.discard(stream)
    client.send(frames.encode_credit(stream, 1, frames.WINDOW))
    outcome = client.finish(stream)
    assert len(outcome.stdout) == size
    assert outcome.order.index("exited") > max(
        place for place, kind in enumerate(outcome.order) if kind == "data1"
    )


def test_only_the_owner_resizes(agent: Agent, client: RawClient) -> None:
    stream = client.open("start", argv=["bash", "--norc"], env={"PS1": "$ "}, terminal=SIZE)
    pid = client.event(stream, "started")["pid"]
    other = agent.dial()
    watching = other.open("attach", pid=pid)
    assert other.event(watching, "attached")["terminal"] is True
    other.control(watching, do="resize", rows=10, columns=20)
    assert "owns" in other.event(watching, "refused")["message"]
    client.control(stream, do="resize", rows=0, columns=20)
    assert "rows" in client.event(stream, "refused")["message"]
    client.control(stream, do="resize", rows=11, columns=22)
    client.write(stream, b"stty size\n", fin=False)
    until(client, stream, b"11 22\r\n")
    client.control(stream, do="terminate", grace=5)
    client.event(stream, "terminated")


def test_a_process_on_pipes_has_no_size(client: RawClient) -> None:
    stream = client.open("start", shell="sleep 30")
    client.control(stream, do="resize", rows=10, columns=20)
    assert client.event(stream, "refused")["do"] == "resize"
    client.control(stream, do="terminate", grace=0)
    client.event(stream, "terminated")


def test_a_new_owner_puts_the_old_one_out(agent: Agent, client: RawClient) -> None:
    stream = client.open("start", argv=["bash", "--norc"], env={"PS1": "$ "}, terminal=SIZE)
    pid = client.event(stream, "started")["pid"]
    other = agent.dial()
    taken = other.open("attach", pid=pid, own=True)
    client.event(stream, "disowned")
    client.write(stream, b"echo mine\n", fin=False)
    client.control(stream, do="resize", rows=10, columns=20)
    client.event(stream, "refused")
    other.write(taken, b"echo y$((1+1))rs; stty size; exit 4\n", fin=False)
    outcome = other.finish(taken)
    assert b"y2rs\r\n24 80\r\n" in outcome.stdout
    assert b"mine" not in outcome.stdout
    assert outcome.event("exited")["code"] == 4
    assert client.finish(stream).event("exited")["code"] == 4


def test_a_new_owner_hears_that_there_is_no_input(agent: Agent, client: RawClient) -> None:
    stream = client.open("start", shell="sleep 30")
    pid = client.event(stream, "started")["pid"]
    taken = client.open("attach", pid=pid, own=True)
    client.event(taken, "stdin_closed")
    client.control(taken, do="terminate", grace=0)
    client.event(taken, "terminated")


def test_what_ends_with_its_connection_gets_the_hangup(agent: Agent, client: RawClient) -> None:
    """A shell ignores SIGTERM; that its terminal goes lets it end in its own way."""
    other = agent.dial()
    script = "trap 'echo hung up > hangup; exit' HUP; echo on; while :; do sleep 0.05; done"
    stream = other.open("start", argv=["bash", "-ic", script], bound=True, terminal=SIZE)
    until(other, stream, b"on\r\n")
    other.bye()

    def ended() -> bool:
        return not client.call("processes").result["processes"][0]["running"]

    assert eventually(ended)
    assert client.call("start", shell="cat hangup").stdout == b"hung up\n"
