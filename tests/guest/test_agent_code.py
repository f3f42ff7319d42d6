"""run_code through the real agent: forked interpreters, and those of another Python."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.kernel_process import KernelProcess
from tests.guest.rawclient import ROOT, Agent, Outcome, RawClient, carriers, eventually, running

OTHER = Path("~/.pyenv/versions/3.8.18/bin/python").expanduser()


class CodeAgent(Agent):
    """The agent; `interpreter` makes it start that one instead of forking."""

    def __init__(self, workdir: Path, interpreter: str | None) -> None:
        if interpreter is None:
            super().__init__(workdir)
            return
        program = workdir / "agent.py"
        program.write_text(
            "import sys\n"
            f"sys.path.insert(0, {str(ROOT)!r})\n"
            "from sandboxkit.guest.agent import main\n"
            "of = main.AgentConfig.of_this_process\n"
            f"main.AgentConfig.of_this_process = lambda: of()._replace(python={interpreter!r})\n"
            "main.main([word for word in sys.argv if word.startswith('--')])\n"
        )
        launcher = workdir / "launcher"
        launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        launcher.chmod(0o755)
        super().__init__(workdir, python=str(launcher))


@pytest.fixture(params=[None, str(OTHER)], ids=["forked", "exec"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CodeAgent]:
    if request.param is not None and not OTHER.exists():
        pytest.skip("there is no other Python here")
    yield from _agent(tmp_path, request.param)


@pytest.fixture
def forking(tmp_path: Path) -> Iterator[CodeAgent]:
    yield from _agent(tmp_path, None)


def _agent(workdir: Path, interpreter: str | None) -> Iterator[CodeAgent]:
    agent = CodeAgent(workdir, interpreter)
    try:
        yield agent
    finally:
        for pid in children(agent.pid):
            with contextlib.suppress(ProcessLookupError):  # it may be ending by itself
                os.kill(pid, signal.SIGKILL)
        agent.stop()
    assert agent.errors == b""


@pytest.fixture
def client(agent: CodeAgent) -> RawClient:
    return RawClient(agent.first)


@pytest.fixture
def forked(forking: CodeAgent) -> RawClient:
    return RawClient(forking.first)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cell(client: RawClient, code: str, **arguments: Any) -> Outcome:
    return client.call("run_code", code=code, **arguments)


def value(outcome: Outcome) -> Any:
    """The main result, or what was raised instead."""
    for event in outcome.events:
        if event["event"] == "result":
            return event["data"]["text/plain"]
        if event["event"] == "raised":
            return event["name"]
    return None


def ended(outcome: Outcome, **expected: Any) -> None:
    assert outcome.result is not None, outcome.error
    assert {name: outcome.result[name] for name in expected} == expected


# -- cells --


def test_cell(client: RawClient) -> None:
    outcome = cell(client, "print('hé')\n6 * 7")
    assert outcome.stdout == "hé\n".encode()
    assert outcome.order == ["data1", "result"]
    assert outcome.result == {
        "context": "python",
        "execution_count": 1,
        "timed_out": False,
        "restarted": False,
        "exit_code": None,
    }
    assert value(outcome) == "42"
    ended(cell(client, "x = 1"), execution_count=2)
    assert value(cell(client, "x")) == "1"


def test_raised(client: RawClient) -> None:
    outcome = cell(client, "print('before')\n1/0")
    raised = outcome.event("raised")
    assert (raised["name"], raised["value"]) == ("ZeroDivisionError", "division by zero")
    assert 'File "<cell 1>", line 2' in raised["traceback"]
    assert outcome.order == ["data1", "raised"]
    ended(outcome, restarted=False)


def test_place(agent: CodeAgent, client: RawClient, tmp_path: Path) -> None:
    assert value(cell(client, "import os; os.getcwd()")) == repr(str(tmp_path))
    assert value(cell(client, "os.getppid(), os.getpid() == os.getsid(0) == os.getpgid(0)")) == str(
        (agent.pid, True)
    )
    assert value(cell(client, "sorted(map(int, os.listdir('/proc/self/fd')))[:5]")) == str(
        [0, 1, 2, 3, 4]  # the last is that of the directory itself
    )
    assert value(cell(client, "os.readlink('/proc/self/fd/0')")) == "'/dev/null'"
    default = "import signal; signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL"
    assert value(cell(client, default)) == "True"
    status = value(cell(client, "open('/proc/self/status').read()"))
    assert re.search(r"SigBlk:\\t0+\\n", status)
    assert value(cell(client, "open('/proc/self/oom_score_adj').read()")) == "'500\\n'"


def test_subprocess_output_and_status(client: RawClient) -> None:
    outcome = cell(
        client,
        "import subprocess, sys\nprint(1)\nsubprocess.run('echo 2; echo 3 >&2', shell=True)\n"
        "print(4)\nsubprocess.run(['false']).returncode",
    )
    assert outcome.stdout == b"1\n2\n4\n"
    assert outcome.stderr == b"3\n"
    assert value(outcome) == "1"


def test_no_rights_of_the_agent_are_left(forking: CodeAgent, forked: RawClient) -> None:
    assert value(cell(forked, "import os; os.getresuid() + os.getresgid()")) == str(
        (os.getuid(),) * 3 + (os.getgid(),) * 3
    )
    assert value(cell(forked, "sum(int(n) > 3 for n in os.listdir('/proc/self/fd'))")) == "1"
    assert value(cell(forked, "os.stat('/proc/self/fd').st_uid")) == str(os.getuid())


def test_env_per_cell(client: RawClient) -> None:
    assert value(cell(client, "import os; os.getenv('A')", env={"A": "1"})) == "'1'"
    assert value(cell(client, "os.getenv('A')")) is None


# -- output --


def test_huge_output_in_bounded_memory(agent: CodeAgent, client: RawClient) -> None:
    cell(client, "1")
    before = agent.rss(peak=True)
    stream = client.open(
        "run_code", code="import os\nfor _ in range(50): os.write(1, b'x' * 2**20)\n'end'"
    )
    total, last = 0, ""
    while True:
        frame = client.frame(stream)
        if frame.type == frames.DATA:
            total += len(frame.payload)
        elif frame.type == frames.EVENT:
            last = frame.json()["data"]["text/plain"]
            assert total == 50 * 2**20
        else:
            break
    assert (frame.type, last) == (frames.RESULT, "'end'")
    assert agent.rss(peak=True) - before < 8 * 2**20


def test_client_that_does_not_read_stops_the_cell(agent: CodeAgent, client: RawClient) -> None:
    other = agent.dial()
    cell(client, "import os; sent = 0")
    stream = client.open(
        "run_code", code="while sent < 100 * 2**20: sent += os.write(1, b'x' * 2**16)"
    )
    client.stalled.add(stream)
    mark = client.frame(stream)
    assert mark.type == frames.DATA
    # Others are served meanwhile.
    assert value(cell(other, "1 + 1", context=client_context(other))) == "2"
    client.reset(stream)
    outcome = client.finish(stream)
    ended(outcome, timed_out=False, restarted=False)
    assert int(value(cell(client, "sent"))) < 10 * 2**20


def test_large_result_in_parts(client: RawClient) -> None:
    outcome = cell(client, "'\\U0001f600' * 3_000_000")
    *parts, result = outcome.events
    assert "".join(part["part"] for part in parts) == repr("\U0001f600" * 3_000_000)
    assert result["parts"] == parts[0]["id"]


@pytest.mark.slow
def test_million_prints(forked: RawClient) -> None:
    outcome = cell(forked, "for i in range(1_000_000): print(i)")
    assert outcome.stdout == b"".join(b"%d\n" % i for i in range(1_000_000))


def test_output_between_cells_belongs_to_the_next(client: RawClient) -> None:
    cell(
        client,
        "import threading, os\ngo, gone = threading.Event(), threading.Event()\n"
        "def f():\n    go.wait()\n    os.write(1, b'a' * 3_000_000 + b'late')\n    gone.set()\n"
        "t = threading.Thread(target=f); t.start()\n"
        "threading.Timer(0.1, go.set).start()",
    )
    time.sleep(0.5)
    outcome = cell(client, "gone.wait(10)")
    assert outcome.stdout.endswith(b"aalate")
    assert 1_000_000 <= len(outcome.stdout) < 3_000_000


def test_printing_thread_does_not_hold_a_cell(client: RawClient) -> None:
    cell(
        client,
        "import threading, os\ngo = True\n"
        "def f():\n    while go: os.write(1, b'.' * 1000)\n"
        "t = threading.Thread(target=f); t.start()",
    )
    assert value(cell(client, "1 + 1")) == "2"
    ended(cell(client, "go = False; t.join()"), restarted=False)


# -- timeouts and interrupts --

SLEEPERS = [
    "import time; time.sleep(60)",
    "import subprocess; subprocess.run(['sleep', '61'])",
    "import os; os.system('sleep 62')\nraise KeyboardInterrupt",
    "import asyncio; await asyncio.sleep(63)",
    "while True: pass",
    "while True: print('x' * 1000)",
]


@pytest.mark.parametrize("code", SLEEPERS)
def test_timeout_keeps_state(client: RawClient, code: str) -> None:
    cell(client, "state = 'kept'")
    begin = time.monotonic()
    outcome = cell(client, code, timeout=0.3, grace=5)
    assert 0.3 <= time.monotonic() - begin < 2
    ended(outcome, timed_out=True, restarted=False)
    assert value(outcome) == "KeyboardInterrupt"
    outcome = cell(client, "state")
    ended(outcome, timed_out=False, restarted=False, execution_count=3)
    assert value(outcome) == "'kept'"


def test_timeout_that_is_ignored_kills_the_tree(agent: CodeAgent, client: RawClient) -> None:
    code = (
        "import os, signal, subprocess, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "subprocess.Popen(['setsid', 'sleep', '64'])\nprint('on', flush=True)\n"
        "while True: time.sleep(1)"
    )
    begin = time.monotonic()
    outcome = cell(client, code, timeout=0.5, grace=0.2)
    assert time.monotonic() - begin < 2
    assert outcome.stdout == b"on\n"
    ended(outcome, timed_out=True, restarted=True)
    # What was killed may still have to be reaped.
    assert eventually(lambda: children(agent.pid) == [])
    assert carriers(b"", parent=agent.pid) == []
    outcome = cell(client, "'code' in globals(), 1")
    ended(outcome, restarted=False, execution_count=2, context="python")


def test_timeout_before_the_interpreter_is_up(client: RawClient) -> None:
    outcome = cell(client, "while True: pass", timeout=0.0, grace=10)
    ended(outcome, timed_out=True, restarted=False)
    assert value(outcome) == "KeyboardInterrupt"
    assert value(cell(client, "1")) == "1"


def test_reset_interrupts(client: RawClient) -> None:
    cell(client, "import time; x = 5")
    stream = client.open(
        "run_code",
        code="try:\n    print('in')\n    time.sleep(60)\nfinally:\n    print('cleaned')",
    )
    first = client.frame(stream)
    client.reset(stream)
    outcome = client.finish(stream)
    assert first.payload + outcome.stdout == b"in\ncleaned\n"
    assert value(outcome) == "KeyboardInterrupt"
    ended(outcome, timed_out=False, restarted=False)
    assert value(cell(client, "x")) == "5"


def test_reset_kills_what_does_not_listen(client: RawClient) -> None:
    stream = client.open(
        "run_code",
        code="import signal; signal.signal(2, signal.SIG_IGN); print(1)\nwhile True: pass",
        grace=0.1,
    )
    client.frame(stream)
    client.reset(stream)
    ended(client.finish(stream), restarted=True)
    assert value(cell(client, "1")) == "1"


def test_cells_wait_in_order_and_can_be_withdrawn(client: RawClient) -> None:
    first = client.open("run_code", code="import time; print('a'); time.sleep(0.3); got = ['a']")
    second = client.open("run_code", code="got.append('b')")
    third = client.open("run_code", code="got.append('c'); got")
    client.reset(second)
    assert client.finish(second).result is not None
    assert value(client.finish(third)) == "['a', 'c']"
    ended(client.finish(first), execution_count=1)


def test_interrupting_one_context_leaves_others(client: RawClient) -> None:
    contexts = [client_context(client) for _ in range(5)]
    naps = [0.5, 0.5, 60, 0.5, 0.5]
    streams = [
        client.open(
            "run_code",
            context=context,
            code=f"import time; n = {number}; print(n); time.sleep({naps[number]}); n",
        )
        for number, context in enumerate(contexts)
    ]
    while client.frame(streams[2]).payload != b"2\n":
        pass
    client.reset(streams[2])
    assert value(client.finish(streams[2])) == "KeyboardInterrupt"
    for number in (0, 1, 3, 4):
        assert value(client.finish(streams[number])) == str(number)
    found = [value(cell(client, "n", context=context)) for context in contexts]
    assert found == ["0", "1", "2", "3", "4"]


@pytest.fixture
def nap() -> Iterator[str]:
    """Seconds to sleep by which a test finds a sleeper."""
    seconds = f"300.{uuid.uuid4().int}"
    yield seconds
    for pid in running(seconds.encode()):
        os.kill(pid, signal.SIGKILL)


SPAWN = """
import subprocess
null = subprocess.DEVNULL
def spawn(*words):
    subprocess.Popen(words, stdin=null, stdout=null, stderr=null)
"""


@pytest.mark.parametrize("how", ["timeout", "reset"])
@pytest.mark.parametrize("direct", [True, False], ids=["child", "orphan"])
def test_what_an_interrupted_cell_has_started_ends(
    agent: CodeAgent, client: RawClient, nap: str, how: str, direct: bool
) -> None:
    cell(client, SPAWN + f"spawn('setsid', 'sleep', '{nap}1'); kept = 1")
    loop = f"while :; do /bin/sleep 0.05; : {nap}2; done"
    cell(client, f"spawn('setsid', '/bin/bash', '-c', {loop!r})")
    words = "'setsid'" if direct else "'/usr/bin/env', '-i', '/usr/bin/setsid', '-f'"
    code = (
        f"spawn({words}, '/bin/sleep', '{nap}3')\nimport time\n"
        "print('on', flush=True)\ntime.sleep(60)"
    )
    assert running(f"{nap}3".encode()) == []
    begin = time.monotonic()
    if how == "timeout":
        outcome = cell(client, code, timeout=0.5)
    else:
        stream = client.open("run_code", code=code)
        while client.frame(stream).payload != b"on\n":
            pass
        assert eventually(lambda: bool(running(f"{nap}3".encode())))
        client.reset(stream)
        outcome = client.finish(stream)
    assert time.monotonic() - begin < 3
    ended(outcome, timed_out=how == "timeout", restarted=False)
    assert running(f"{nap}3".encode()) == []
    assert len(running(f"{nap}1".encode())) == 1
    time.sleep(0.2)
    assert len(running(f"{nap}2".encode())) == 1
    assert value(cell(client, "kept")) == "1"
    # It goes with the interpreter.
    client.call("restart_context", context="python")
    assert running(nap.encode()) == []


def test_what_ignores_sigterm_does_not_keep_an_interrupted_cell(
    client: RawClient, nap: str
) -> None:
    stubborn = f"trap '' TERM INT; while :; do sleep 0.05; : {nap}; done"
    begin = time.monotonic()
    code = SPAWN + f"spawn('setsid', 'bash', '-c', {stubborn!r})\nimport time\ntime.sleep(60)"
    outcome = cell(client, code, timeout=0.5)
    assert time.monotonic() - begin < 2
    ended(outcome, timed_out=True, restarted=False)
    assert running(nap.encode()) == []


def test_what_a_cell_that_ended_by_itself_has_started_lives_on(client: RawClient, nap: str) -> None:
    cell(client, SPAWN + f"spawn('setsid', 'sleep', '{nap}')", timeout=20)
    assert eventually(lambda: len(running(nap.encode())) == 1)
    cell(client, "import time; time.sleep(60)", timeout=0.2)
    assert len(running(nap.encode())) == 1


def test_no_status_is_made_up() -> None:
    process = KernelProcess.__new__(KernelProcess)
    process._status = None
    assert "not known" in process.how_it_ended()
    process._status = 9
    assert process.how_it_ended().endswith("signal 9 (SIGKILL)")


# -- death --


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; print('last', end=''); sys.stdout.flush(); os._exit(3)", "status 3"),
        ("import ctypes; ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
    ],
)
def test_death(client: RawClient, code: str, how: str) -> None:
    cell(client, "import sys; lost = 1")
    outcome = cell(client, code)
    raised = outcome.event("raised")
    assert raised["name"] == "ContextDied"
    assert f"{how}; the next cell runs in a fresh interpreter" in raised["value"]
    assert raised.get("signal") == (int(how.split()[1]) if "signal" in how else None)
    assert raised["traceback"] == ""
    assert outcome.stdout == (b"last" if "last" in code else b"")
    ended(outcome, restarted=True, timed_out=False, execution_count=2)
    outcome = cell(client, "'lost' in globals()")
    assert value(outcome) == "False"
    ended(outcome, restarted=False, execution_count=3)


def test_death_ends_its_children(agent: CodeAgent, client: RawClient) -> None:
    outcome = cell(
        client, "import os, subprocess; subprocess.Popen(['setsid', 'sleep', '65']); os._exit(0)"
    )
    ended(outcome, restarted=True)
    assert carriers(b"", parent=agent.pid) == []


def test_death_between_cells_is_told_once(agent: CodeAgent, client: RawClient) -> None:
    cell(client, "x = 1")
    (pid,) = children(agent.pid)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not children(agent.pid))
    ended(cell(client, "1"), restarted=True)
    ended(cell(client, "1"), restarted=False)


def test_waiting_cell_survives_a_death(client: RawClient) -> None:
    first = client.open("run_code", code="import os, time; time.sleep(0.2); os._exit(1)")
    second = client.open("run_code", code="'fresh'")
    ended(client.finish(first), restarted=True)
    assert value(client.finish(second)) == "'fresh'"


def test_closing_our_descriptors_is_a_death(client: RawClient) -> None:
    ended(cell(client, "import os; os.closerange(3, 100)"), restarted=True)
    assert value(cell(client, "1")) == "1"


@pytest.mark.parametrize("noise", [b"\\xff" * 100, b"\\0\\0\\0\\2[]", b"\\0\\0\\0\\1x"])
def test_nonsense_from_the_interpreter(client: RawClient, noise: bytes) -> None:
    code = f"import os; os.write(3, b'{noise.decode()}')\nwhile True: pass"
    outcome = cell(client, code)
    assert value(outcome) == "ContextDied"
    assert value(cell(client, "1")) == "1"


# -- connections --


def test_bye_interrupts(agent: CodeAgent, client: RawClient) -> None:
    other = agent.dial()
    cell(other, "import time; x = 1")
    stream = other.open("run_code", code="print('in'); time.sleep(60)")
    other.frame(stream)
    other.bye()
    begin = time.monotonic()
    assert value(cell(client, "x")) == "1"
    assert time.monotonic() - begin < 2


@pytest.mark.slow
def test_lost_connection_interrupts_after_the_linger(agent: CodeAgent, client: RawClient) -> None:
    other = agent.dial()
    cell(other, "import time; x = 1")
    stream = other.open("run_code", code="print('in'); time.sleep(60)")
    other.frame(stream)
    other.sock.shutdown(socket.SHUT_RDWR)
    other.sock.close()
    begin = time.monotonic()
    assert value(cell(client, "x")) == "1"
    assert 4 < time.monotonic() - begin < 8


# -- contexts --


def test_contexts(client: RawClient, tmp_path: Path) -> None:
    assert client.call("list_contexts").result == {"contexts": []}
    (tmp_path / "here").mkdir()
    made = client.call("create_context", cwd=str(tmp_path / "here"), env={"K": "v"}).result
    assert made is not None
    assert made == {"id": made["id"], "language": "python", "cwd": str(tmp_path / "here")}
    code = "import os; os.getcwd(), os.environ['K']"
    outcome = cell(client, code, context=made["id"])
    assert value(outcome) == str((str(tmp_path / "here"), "v"))
    ended(outcome, context=made["id"])
    cell(client, "1")
    listed = client.call("list_contexts").result
    assert listed is not None
    assert [context["id"] for context in listed["contexts"]] == [made["id"], "python"]
    assert client.call("remove_context", context=made["id"]).result == made
    assert cell(client, "1", context=made["id"]).error["code"] == "not_found"  # type: ignore[index]
    assert client.call("remove_context", context=made["id"]).error["code"] == "not_found"  # type: ignore[index]


def test_restart(client: RawClient) -> None:
    cell(client, "x = 1")
    running = client.open("run_code", code="print('in')\nwhile True: pass")
    client.frame(running)
    assert client.call("restart_context", context="python").result is not None
    outcome = client.finish(running)
    assert outcome.event("raised")["value"] == "the context was restarted"
    ended(outcome, restarted=True)
    outcome = cell(client, "'x' in globals()")
    assert value(outcome) == "False"
    ended(outcome, restarted=False)


def test_remove_while_running(agent: CodeAgent, client: RawClient) -> None:
    context = client.call("create_context").result["id"]  # type: ignore[index]
    pid = value(cell(client, "import os; os.getpid()", context=context))
    running = client.open("run_code", context=context, code="print('in')\nwhile True: pass")
    waiting = client.open("run_code", context=context, code="1")
    client.frame(running)
    client.call("remove_context", context=context)
    assert value(client.finish(running)) == "ContextDied"
    assert client.finish(waiting).error["code"] == "not_found"  # type: ignore[index]
    assert eventually(lambda: int(pid) not in children(agent.pid))


@pytest.mark.parametrize(
    ("op", "arguments", "code"),
    [
        ("run_code", {}, "bad_request"),
        ("run_code", {"code": 1}, "bad_request"),
        ("run_code", {"code": "1", "timeout": "x"}, "bad_request"),
        ("run_code", {"code": "1", "env": {"A=": ""}}, "bad_request"),
        ("run_code", {"code": "1", "language": "cobol"}, "unsupported"),
        ("run_code", {"code": "1", "context": "none"}, "not_found"),
        ("create_context", {"cwd": "/does/not/exist"}, "no_such_cwd"),
        ("create_context", {"cwd": "relative"}, "no_such_cwd"),
        ("create_context", {"user": "nobody-at-all"}, "no_such_user"),
        ("restart_context", {"context": "none"}, "not_found"),
    ],
)
def test_refused(forked: RawClient, op: str, arguments: dict[str, Any], code: str) -> None:
    error = forked.call(op, **arguments).error
    assert error is not None
    assert error["code"] == code
    assert forked.call("list_contexts").result == {"contexts": []}


def test_interpreter_that_cannot_start(tmp_path: Path) -> None:
    for agent in _agent(tmp_path, "/no/such/python"):
        error = cell(RawClient(agent.first), "1").error
        assert error is not None
        assert error["code"] == "broken"
        assert "/no/such/python" in error["message"]


def test_randomness_differs_between_forks(forked: RawClient) -> None:
    code = (
        "import random, ssl, tempfile, os, uuid\n"
        "random.random(), ssl.RAND_bytes(8), next(tempfile._get_candidate_names())"
    )
    contexts = [client_context(forked) for _ in range(2)]
    first, second = (value(cell(forked, code, context=context)) for context in contexts)
    assert not set(first[1:-1].split(", ")) & set(second[1:-1].split(", "))


def client_context(client: RawClient) -> str:
    made = client.call("create_context").result
    assert made is not None
    return str(made["id"])


def test_interpreters_end_with_the_agent(forking: CodeAgent, forked: RawClient) -> None:
    assert cell(forked, "import os; os.getpid()").result is not None
    (pid,) = children(forking.pid)
    forked.open("run_code", code="while True: pass")
    forking.process.kill()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
