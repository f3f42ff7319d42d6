"""Interpreters of other users than the agent's, which takes uid 0."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.rawclient import Agent, RawClient, carriers, eventually
from tests.guest.test_agent_code import cell, children, ended, value

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.getuid() != 0, reason="only uid 0 can become others"),
]
OTHER = 65534


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    running = Agent(tmp_path, "--switch-users")
    try:
        yield running
    finally:
        running.stop()
    assert running.errors == b""


@pytest.fixture
def client(agent: Agent) -> RawClient:
    return RawClient(agent.first)


@pytest.fixture
def context(client: RawClient) -> str:
    made = client.call("create_context", user=str(OTHER)).result
    assert made is not None
    return str(made["id"])


def test_wholly_the_other_user(client: RawClient, context: str) -> None:
    code = "import os; os.getresuid(), os.getresgid(), set(os.getgroups()) <= {65534}"
    assert value(cell(client, code, context=context)) == str(((OTHER,) * 3, (OTHER,) * 3, True))
    code = "{line for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm'))}"
    assert value(cell(client, code, context=context)).count("0" * 16) == 2
    assert value(cell(client, "os.seteuid(0)", context=context)) == "PermissionError"
    assert value(cell(client, "import os; os.geteuid()")) == str(os.getuid())


def test_own_files_of_proc_and_dev(client: RawClient, context: str) -> None:
    # They are root's where a process is not dumpable or its pipes were made by root.
    outcome = cell(client, "import os; os.system('echo a > /dev/stdout')", context=context)
    assert outcome.stdout == b"a\n"
    assert value(cell(client, "os.stat('/proc/self/fd').st_uid", context=context)) == str(OTHER)


def test_agent_is_out_of_reach(agent: Agent, client: RawClient, context: str) -> None:
    code = f"import os; os.kill({agent.pid}, 0)"
    assert value(cell(client, code, context=context)) == "PermissionError"
    code = f"os.listdir('/proc/{agent.pid}/fd')"
    assert value(cell(client, code, context=context)) == "PermissionError"


def test_interrupt_and_kill(agent: Agent, client: RawClient, context: str) -> None:
    # No imports: this Python's library may be closed to others.
    code = "import os; os.system('sleep 66')"
    outcome = cell(client, code, context=context, timeout=0.2)
    ended(outcome, timed_out=True, restarted=False)
    code = (
        "import signal; signal.signal(2, signal.SIG_IGN)\n"
        "os.system('setsid sleep 67 &')\nwhile True: pass"
    )
    outcome = cell(client, code, context=context, timeout=0.3, grace=0.1)
    ended(outcome, timed_out=True, restarted=True)
    # What was killed may still have to be reaped; the one that is prepared for the next context
    # lives on.
    assert eventually(lambda: len(children(agent.pid)) <= 1)
    assert len(carriers(b"", parent=agent.pid)) <= 1


def test_closed_directory(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    outcome = client.call("create_context", user=str(OTHER), cwd=str(tmp_path / "closed"))
    assert outcome.error is not None
    assert outcome.error["code"] == "no_such_cwd"
