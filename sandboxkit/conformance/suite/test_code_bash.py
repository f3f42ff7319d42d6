"""Bash contexts: a shell that lives on between cells."""

from __future__ import annotations

import time

import pytest

from sandboxkit import CodeFailedError, CodeTimeoutError, Sandbox
from sandboxkit.conformance.survivors import marked_sleep, survivors
from sandboxkit.models import Execution

pytestmark = pytest.mark.needs("code")


def bash(sandbox: Sandbox, code: str, **options: object) -> Execution:
    return sandbox.run_code(code, language="bash", **options)


def test_state_lives_on(sandbox: Sandbox) -> None:
    bash(
        sandbox,
        "x=41; cd /tmp; twice() { echo $1$1; }; shopt -s expand_aliases; alias hey='echo ho'",
    )
    assert bash(sandbox, "echo $((x + 1)) $PWD; twice a; hey").logs.stdout == "42 /tmp\naa\nho\n"
    assert bash(sandbox, "echo $0 $-").logs.stdout.startswith("bash ")


def test_exit_code_and_streams(sandbox: Sandbox) -> None:
    execution = bash(sandbox, "echo out; no-such-command; (exit 7)")
    assert execution.exit_code == 7
    assert execution.error is None
    assert execution.logs.stdout == "out\n"
    assert "no-such-command: command not found" in execution.logs.stderr
    assert bash(sandbox, "true").check().exit_code == 0
    with pytest.raises(CodeFailedError, match="exit code 7"):
        bash(sandbox, "(exit 7)", check=True)
    assert bash(sandbox, "if then").exit_code == 2
    assert bash(sandbox, "return 4; echo no").exit_code == 4


def test_exit_ends_the_shell_and_says_so(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    bash(sandbox, "x=1")
    execution = bash(sandbox, f"echo before; {sleep} & exit 3")
    assert (execution.exit_code, execution.error) == (3, None)
    assert execution.context_restarted
    assert execution.logs.stdout == "before\n"
    assert survivors(sandbox, sleep) == []
    assert bash(sandbox, "echo [$x]").logs.stdout == "[]\n"
    failed = bash(sandbox, "set -e; false; echo no")
    assert (failed.exit_code, failed.logs.stdout, failed.context_restarted) == (1, "", True)


def test_death_is_an_error(sandbox: Sandbox) -> None:
    execution = bash(sandbox, "kill -9 $$")
    assert execution.error is not None
    assert "SIGKILL" in execution.error.value
    assert execution.exit_code == 137
    assert bash(sandbox, "echo on").logs.stdout == "on\n"


@pytest.mark.parametrize(
    "code",
    ["sleep 60", "while :; do :; done", "f() { while :; do sleep 1; done; }; f", "cat <(sleep 60)"],
)
def test_bash_timeout_keeps_state(sandbox: Sandbox, code: str) -> None:
    bash(sandbox, "kept=yes")
    began = time.monotonic()
    with pytest.raises(CodeTimeoutError) as caught:
        bash(sandbox, code, timeout=0.5, env={"A": "1"})
    assert time.monotonic() - began < 3
    assert caught.value.state_kept
    assert bash(sandbox, "echo $kept [$A]").logs.stdout == "yes []\n"


def test_bash_env_is_for_one_cell(sandbox: Sandbox) -> None:
    value = 'it\'s "q" $x\n2'
    execution = bash(sandbox, 'printf %s "$A"; bash -c \'printf %s "$A"\'', env={"A": value})
    assert execution.logs.stdout == value * 2
    assert bash(sandbox, "echo [$A]").logs.stdout == "[]\n"


def test_no_input_and_nothing_of_ours_is_seen(sandbox: Sandbox) -> None:
    assert bash(sandbox, "cat; read x; echo $?").logs.stdout == "1\n"
    numbers = bash(sandbox, "ls /proc/self/fd").logs.stdout.split()
    assert {int(number) for number in numbers} <= {0, 1, 2, 3}
    assert bash(sandbox, "history").logs.stdout == ""


def test_background_job_prints_into_the_next_cell(sandbox: Sandbox) -> None:
    assert bash(sandbox, "(sleep 0.3; echo late) & echo now").logs.stdout == "now\n"
    assert bash(sandbox, "wait; echo then").logs.stdout == "late\nthen\n"


def test_contexts_have_a_language(sandbox: Sandbox) -> None:
    shell = sandbox.contexts.create("sh", cwd="/tmp", env={"WHO": "me"})
    assert shell.language == "bash"
    assert bash(sandbox, "echo $WHO $PWD", context=shell).logs.stdout == "me /tmp\n"
    assert sandbox.run_code("echo $WHO", context=shell).logs.stdout == "me\n"
    assert bash(sandbox, "echo [$WHO]").logs.stdout == "[]\n"


def test_a_word_said_in_every_way_arrives(sandbox: Sandbox) -> None:
    execution = bash(sandbox, "echo é; printf '\\xff'; seq 100000 | tail -1")
    assert execution.logs.stdout == "é\n\ufffd100000\n"
    long = "x" * 300_000
    assert bash(sandbox, f"y={long}; echo ${{#y}}").logs.stdout == "300000\n"
