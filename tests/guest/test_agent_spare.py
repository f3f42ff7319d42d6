"""The interpreter that is ready before a context wants it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import kernel_spare
from tests.guest.rawclient import Agent, RawClient, eventually

# The fixtures `agent` and `client` are of forked interpreters and of another Python's.
from tests.guest.test_agent_code import (
    CodeAgent,
    agent,  # noqa: F401
    cell,
    children,
    client,  # noqa: F401
    forked,  # noqa: F401
    forking,  # noqa: F401
    value,
)

PID = "import os; os.getpid()"


def made(connection: RawClient, **arguments: Any) -> str:
    outcome = connection.call("create_context", **arguments)
    assert outcome.result is not None, outcome.error
    return str(outcome.result["id"])


def spare_of(parent: Agent, count: int = 1) -> int:
    """The pid of the one that waits beside `count` contexts."""
    assert eventually(lambda: len(children(parent.pid)) == count + 1)
    return children(parent.pid)[-1]


def test_it_becomes_what_is_asked_for(
    agent: CodeAgent,  # noqa: F811
    client: RawClient,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "here").mkdir()
    env = {"K": "v", "TZ": "Asia/Kathmandu"}
    first = made(client, env=env)
    spare = spare_of(agent)
    second = made(client, cwd=str(tmp_path / "here"), env=env)
    assert value(cell(client, PID, context=second)) == str(spare)
    assert cell(client, PID, context=second).result["execution_count"] == 2  # type: ignore[index]
    code = "import time; os.getcwd(), os.environ['K'], time.strftime('%z')"
    expected = (str(tmp_path / "here"), "v", "+0545")
    assert value(cell(client, code, context=second)) == str(expected)
    variables = "import os; sorted(os.environ.items())"
    outcomes = [value(cell(client, variables, context=one)) for one in (first, second)]
    assert outcomes[0] == outcomes[1]


def test_variables_are_the_new_contexts_alone(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    made(forked, env={"ONLY": "first"})
    spare = spare_of(forking)
    second = made(forked, env={"ALSO": "x"})
    code = "import os; os.getpid(), os.environ.get('ONLY'), os.environ['ALSO']"
    assert value(cell(forked, code, context=second)) == str((spare, None, "x"))


def test_a_program_has_read_its_variables(agent: CodeAgent, client: RawClient) -> None:  # noqa: F811
    made(client, env={"PYTHONHASHSEED": "1"})
    spare = spare_of(agent)
    is_program = "drivers/python.py" in Path(f"/proc/{spare}/cmdline").read_text()
    second = made(client, env={"PYTHONHASHSEED": "2"})
    taken = value(cell(client, PID, context=second)) == str(spare)
    assert taken is not is_program


def test_none_where_no_context_was_made(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    cell(forked, "1")
    time.sleep(5 * kernel_spare.QUIET)
    assert len(children(forking.pid)) == 1


def test_one_at_most(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    for _ in range(3):
        made(forked)
    spare = spare_of(forking, 3)
    time.sleep(3 * kernel_spare.QUIET)
    assert children(forking.pid)[3:] == [spare]


def test_one_that_died_is_not_taken(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    made(forked)
    spare = spare_of(forking)
    os.kill(spare, signal.SIGKILL)
    assert eventually(lambda: spare not in children(forking.pid))
    second = made(forked)
    assert value(cell(forked, PID, context=second)) != str(spare)


def test_one_that_dies_as_it_is_taken_is_replaced(
    agent: CodeAgent,  # noqa: F811
    client: RawClient,  # noqa: F811
) -> None:
    first = made(client)
    spare = spare_of(agent)
    os.kill(spare, signal.SIGSTOP)  # so that it is alive when it is taken, and does no more
    stream = client.open("create_context", cwd="/tmp")
    client.call("ping")
    os.kill(spare, signal.SIGKILL)
    answer = client.finish(stream)
    assert answer.result is not None, answer.error
    code = f"import os; os.getcwd(), os.getpid() != {spare}"
    outcome = cell(client, code, context=answer.result["id"])
    assert value(outcome) == "('/tmp', True)"
    assert outcome.result is not None
    assert (outcome.result["execution_count"], outcome.result["restarted"]) == (1, False)
    # The same when it is a cell that takes it: the cell runs in another one.
    spare = spare_of(agent, 2)
    client.call("restart_context", context=first)
    os.kill(spare, signal.SIGSTOP)
    code = f"import os; 'ran', os.getpid() != {spare}"
    stream = client.open("run_code", code=code, context=first)
    client.call("ping")
    os.kill(spare, signal.SIGKILL)
    outcome = client.finish(stream)
    assert value(outcome) == "('ran', True)"
    assert outcome.result is not None
    assert (outcome.result["execution_count"], outcome.result["restarted"]) == (1, False)


def test_a_restarted_context_takes_it(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    first = made(forked)
    cell(forked, "x = 1", context=first)
    spare = spare_of(forking)
    assert value(cell(forked, "import os; os._exit(1)", context=first)) == "ContextDied"
    assert value(cell(forked, PID, context=first)) == str(spare)
    assert value(cell(forked, "x", context=first)) == "NameError"


def test_it_ends_with_the_agent(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    made(forked)
    spare = spare_of(forking)
    forking.process.kill()
    assert eventually(lambda: not Path(f"/proc/{spare}").exists())


def test_two_draw_different_numbers(forking: CodeAgent, forked: RawClient) -> None:  # noqa: F811
    code = "import random, ssl, uuid; random.random(), ssl.RAND_bytes(8), uuid.uuid4().hex"
    drawn = []
    for count in range(1, 4):
        made_now = made(forked)
        drawn.append(value(cell(forked, code, context=made_now)))
        spare_of(forking, count)
    assert len(set(drawn)) == 3


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="only uid 0 can become others")
def test_it_is_one_users(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    switching = Agent(tmp_path, "--switch-users")
    try:
        client = RawClient(switching.first)
        made(client, user="65534")
        theirs = spare_of(switching)
        ours = made(client)
        assert value(cell(client, PID, context=ours)) != str(theirs)
        assert value(cell(client, "os.getresuid()", context=ours)) == str((os.getuid(),) * 3)
        assert eventually(lambda: not Path(f"/proc/{theirs}").exists())
        again = made(client, user="65534")
        assert value(cell(client, "import os; os.getresuid()", context=again)) == str((65534,) * 3)
    finally:
        switching.stop()
    assert switching.errors == b""
