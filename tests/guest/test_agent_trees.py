"""Timeouts, ends of trees, and what becomes of processes whose client is gone."""

from __future__ import annotations

import resource
import signal
import time
import uuid
from collections.abc import Iterator

import pytest

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, RawClient, carriers, eventually, kill, running

STUBBORN = "trap '' TERM INT HUP; while :; do sleep 0.05; done"


@pytest.fixture
def tag() -> str:
    """A variable by which a test finds what it has left behind."""
    return f"TEST_TAG={uuid.uuid4().hex}"


def env(tag: str) -> dict[str, str]:
    return dict([tag.split("=")])


def alive(tag: str) -> list[int]:
    return carriers(tag.encode())


def test_a_timeout_ends_the_whole_tree_and_keeps_the_output(client: RawClient, tag: str) -> None:
    began = time.monotonic()
    shell = (
        "setsid sleep 300 & (setsid sh -c 'sleep 300 & sleep 300' &) ; sleep 300 & "
        "echo partial; sleep 300"
    )
    outcome = client.call("start", shell=shell, env=env(tag), timeout=0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert alive(tag) == []
    assert outcome.stdout == b"partial\n"
    event = outcome.event("exited")
    assert (event["timed_out"], event["signal"], event["code"]) == (True, signal.SIGTERM, None)


def test_what_ignores_sigterm_is_killed_after_the_grace(client: RawClient, tag: str) -> None:
    began = time.monotonic()
    shell = f'setsid bash -c "{STUBBORN}" & {STUBBORN}'
    outcome = client.call("start", shell=shell, env=env(tag), timeout=0.3, grace=0.7)
    assert 1.0 <= time.monotonic() - began < 6
    assert alive(tag) == []
    assert outcome.event("exited")["signal"] == signal.SIGKILL
    assert outcome.event("exited")["timed_out"]


def test_nothing_is_left_when_a_timeout_is_reported(client: RawClient, tag: str) -> None:
    shell = f'setsid bash -c "{STUBBORN}" >/dev/null 2>&1 & echo up; sleep 300'
    stream = client.open("start", shell=shell, env=env(tag), timeout=0.5, grace=0.7)
    client.event(stream, "started")
    assert eventually(lambda: len(alive(tag)) >= 3)
    # The process itself dies of SIGTERM at once, its child only after the grace.
    assert client.event(stream, "exited")["signal"] == signal.SIGTERM
    assert alive(tag) == []


def test_a_handler_may_finish_within_the_grace(client: RawClient, tag: str) -> None:
    began = time.monotonic()
    shell = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done"
    outcome = client.call("start", shell=shell, env=env(tag), timeout=0.5, grace=20)
    assert time.monotonic() - began < 10
    assert outcome.stdout == b"up\nbye\n"
    assert outcome.event("exited")["code"] == 9
    assert outcome.event("exited")["timed_out"]


def test_a_command_that_ends_in_time_is_not_timed_out(client: RawClient) -> None:
    outcome = client.call("start", shell="echo quick", timeout=30)
    assert outcome.event("exited")["timed_out"] is False


def test_terminate_reports_when_nothing_is_left(client: RawClient, tag: str) -> None:
    shell = f'(setsid bash -c "{STUBBORN}" >/dev/null 2>&1 &); echo up; sleep 300'
    stream = client.open("start", shell=shell, env=env(tag))
    while client.frame(stream).payload != b"up\n":
        pass
    assert eventually(lambda: len(alive(tag)) >= 3)
    began = time.monotonic()
    client.control(stream, do="terminate", grace=0.4)
    outcome = client.finish(stream)
    assert alive(tag) == []
    assert time.monotonic() - began >= 0.4
    # RESULT does not overtake it, although the process and its pipes had ended before.
    assert outcome.order[-1] == "terminated"
    assert outcome.event("terminated")["left"] == 0
    assert outcome.event("exited")["signal"] == signal.SIGTERM


def test_a_fork_storm_is_ended(client: RawClient, tag: str) -> None:
    storm = 'f() { sleep 0.01; setsid bash -c "$S" & setsid bash -c "$S" & sleep 0.05; }; f'
    variables = {**env(tag), "S": "for i in 1 2 3; do sleep 0.01 & setsid sleep 20 & done; wait"}
    stream = client.open("start", shell=f"while :; do {storm}; done", env=variables)
    client.event(stream, "started")
    assert eventually(lambda: len(alive(tag)) > 30)
    client.control(stream, do="terminate", grace=0)
    client.event(stream, "terminated")
    assert alive(tag) == []


def test_a_stopped_process_still_hears_sigterm(client: RawClient, tag: str) -> None:
    shell = "trap 'exit 4' TERM; kill -STOP $$; sleep 1"
    stream = client.open("start", shell=shell, env=env(tag))
    client.event(stream, "started")
    time.sleep(0.3)
    client.control(stream, do="terminate", grace=20)
    assert client.event(stream, "exited")["code"] == 4


def test_a_child_in_a_session_of_its_own_is_found(client: RawClient, tag: str) -> None:
    shell = "setsid sleep 300 & echo up; wait"
    stream = client.open("start", shell=shell, env=env(tag))
    while client.frame(stream).payload != b"up\n":
        pass
    assert eventually(lambda: len(alive(tag)) >= 2)
    client.control(stream, do="terminate", grace=0.2)
    client.event(stream, "terminated")
    assert alive(tag) == []


# It has neither session, nor ancestors, nor variables in common with what started it.
ESCAPE = "env -i /usr/bin/setsid -f /usr/bin/sleep {} </dev/null >/dev/null 2>&1"


@pytest.fixture
def nap() -> Iterator[str]:
    """Seconds to sleep by which a test finds a sleeper; none of them may be left."""
    seconds = f"300.{uuid.uuid4().int}"
    yield seconds
    left = running(seconds.encode())
    for pid in left:
        kill(pid)
    assert left == []


def test_a_timeout_ends_what_has_cut_all_ties(client: RawClient, nap: str) -> None:
    shell = f"{ESCAPE.format(nap)}; echo up; sleep 300"
    outcome = client.call("start", shell=shell, timeout=0.5, grace=0.2)
    assert outcome.stdout == b"up\n"
    assert outcome.event("exited")["timed_out"]
    assert running(nap.encode()) == []


def test_terminate_ends_what_has_cut_all_ties(client: RawClient, nap: str) -> None:
    stream = client.open("start", shell=f"{ESCAPE.format(nap)}; echo up; sleep 300")
    while client.frame(stream).payload != b"up\n":
        pass
    assert running(nap.encode())
    client.control(stream, do="terminate", grace=0.2)
    assert client.event(stream, "terminated")["left"] == 0
    assert running(nap.encode()) == []


def test_what_has_cut_all_ties_outlives_other_trees(client: RawClient, nap: str) -> None:
    first = client.call("start", shell=ESCAPE.format(nap)).event("started")["pid"]
    second = client.call("start", shell="true").event("started")["pid"]
    assert client.call("kill_tree", pid=second).result == {}
    assert len(running(nap.encode())) == 1
    assert client.call("kill_tree", pid=first).result == {}


def limit(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_RTTIME)


def test_every_tree_has_its_own_mark_and_the_agent_none_of_them(
    agent: Agent, client: RawClient
) -> None:
    marks = set()
    for _ in range(3):
        stream = client.open("start", shell="sleep 300")
        pid = client.event(stream, "started")["pid"]
        marks.add(limit(pid))
        assert limit(agent.pid) not in marks
        client.control(stream, do="terminate")
        client.event(stream, "terminated")
    assert len(marks) == 3
    assert all(soft == hard > 2**40 for soft, hard in marks)


def test_a_low_limit_of_the_agents_own_is_where_marks_begin(
    agent: Agent, client: RawClient, nap: str
) -> None:
    resource.prlimit(agent.pid, resource.RLIMIT_RTTIME, (1000, 1000))
    shell = f"{ESCAPE.format(nap)}; ulimit -Hr 2>/dev/null; sleep 300"
    client.call("start", shell=shell, timeout=0.3)
    assert running(nap.encode()) == []
    assert limit(agent.pid) == (998, 998)


def test_without_marks_there_are_sessions_and_descent(
    agent: Agent, client: RawClient, tag: str
) -> None:
    resource.prlimit(agent.pid, resource.RLIMIT_RTTIME, (1, 1))
    client.call("start", shell="setsid sleep 300 & sleep 300", env=env(tag), timeout=0.3)
    assert alive(tag) == []


def test_a_tree_is_ended_although_the_agent_was_out_of_descriptors(
    agent: Agent, client: RawClient, tag: str
) -> None:
    stream = client.open("start", shell="setsid sleep 300 & sleep 300", env=env(tag))
    client.event(stream, "started")
    most = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, 4096))
    client.control(stream, do="terminate", grace=0)
    time.sleep(0.3)
    assert len(alive(tag)) >= 2
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (min(4096, most[0]), 4096))
    assert client.event(stream, "terminated")["left"] == 0
    assert alive(tag) == []


def test_kill_tree_finds_what_an_ended_process_left(client: RawClient, tag: str) -> None:
    outcome = client.call(
        "start", shell="setsid sleep 300 >/dev/null 2>&1 & echo gone", env=env(tag)
    )
    assert outcome.stdout == b"gone\n"
    assert len(alive(tag)) == 1
    assert client.call("kill_tree", pid=outcome.event("started")["pid"], grace=5).result == {}
    assert alive(tag) == []


def test_other_trees_are_left_alone(client: RawClient, tag: str) -> None:
    one = client.open("start", shell="sleep 300", env=env(tag))
    two = client.open("start", shell="sleep 300", env=env(tag))
    client.event(one, "started")
    client.event(two, "started")
    client.control(one, do="terminate")
    client.event(one, "terminated")
    assert len(alive(tag)) == 1
    client.control(two, do="terminate")
    client.event(two, "terminated")


def test_bye_ends_what_is_bound_at_once(agent: Agent, tag: str) -> None:
    client = agent.dial()
    bound = client.open("start", shell="setsid sleep 300 & sleep 300", env=env(tag))
    client.event(bound, "started")
    began = time.monotonic()
    client.bye()
    assert eventually(lambda: not alive(tag), 4)
    assert time.monotonic() - began < 4


def test_a_lost_connection_lingers_then_ends_what_is_bound(agent: Agent, tag: str) -> None:
    client = agent.dial()
    bound = client.open("start", shell="sleep 300", env=env(tag))
    client.event(bound, "started")
    client.sock.close()
    began = time.monotonic()
    time.sleep(3)
    assert len(alive(tag)) == 1
    assert eventually(lambda: not alive(tag), 10)
    assert time.monotonic() - began >= 4.5


def test_what_is_not_bound_survives_its_client(agent: Agent, client: RawClient, tag: str) -> None:
    first = agent.dial()
    unbound = first.open("start", shell="sleep 1.5; echo survived", bound=False, env=env(tag))
    pid = first.event(unbound, "started")["pid"]
    let_go = first.open("start", shell="sleep 300", env=env(tag))
    other = first.event(let_go, "started")["pid"]
    first.reset(let_go)
    assert first.finish(let_go).result == {"closed": False}
    first.bye()
    outcome = client.call("attach", pid=pid)
    assert outcome.stdout == b"survived\n"
    assert len(alive(tag)) == 1
    assert client.call("kill_tree", pid=other).result == {}


def test_a_lost_owner_is_replaced_without_loss(agent: Agent, client: RawClient, tag: str) -> None:
    """Takes a bound process over within the linger; it lives past it, and no byte is lost."""
    first = agent.dial()
    shell = "seq 1 1000000; sleep 6; cat; echo end"
    stream = first.open("start", shell=shell, stdin=True, env=env(tag))
    first.stalled.add(stream)
    pid = first.event(stream, "started")["pid"]
    first.write(stream, b"first ", fin=False)
    received = b""
    while len(received) < 100_000:
        frame = first.frame(stream)
        received += frame.payload if frame.type == frames.DATA else b""
    first.sock.close()
    time.sleep(1)
    second = client.open("attach", pid=pid, stdout=len(received), own=True)
    attached = client.event(second, "attached")
    assert (attached["stdout"], attached["stdin"]) == (len(received), len(b"first "))
    client.write(second, b"input\n")
    outcome = client.finish(second)
    expected = b"".join(b"%d\n" % n for n in range(1, 1_000_001)) + b"first input\nend\n"
    assert received + outcome.stdout == expected
    assert outcome.event("exited")["code"] == 0
