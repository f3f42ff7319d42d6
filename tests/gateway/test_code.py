"""The code interpreter through E2B's SDK."""

from __future__ import annotations

import time

import pytest
from e2b import NotFoundException, TimeoutException
from e2b_code_interpreter import Sandbox


def test_results_logs_and_errors(sandbox: Sandbox) -> None:
    seen: list[str] = []
    got = sandbox.run_code(
        "x = 20\nprint('to', 'stdout')\nx + 1", on_stdout=lambda one: seen.append(one.line)
    )
    assert (got.text, got.execution_count, got.error) == ("21", 1, None)
    assert "".join(got.logs.stdout) == "".join(seen) == "to stdout\n"
    assert sandbox.run_code("x").text == "20"
    assert sandbox.run_code("'quoted'").text == "quoted"
    assert sandbox.run_code("[1, {'a': None}]").results[0].json == [1, {"a": None}]
    failed = sandbox.run_code("1 / 0")
    assert failed.error is not None
    assert (failed.error.name, failed.error.value) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in failed.error.traceback


def test_environment_of_a_cell_alone(sandbox: Sandbox) -> None:
    code = "import os; os.environ.get('ONLY')"
    assert sandbox.run_code(code, envs={"ONLY": "it's"}).text == "it's"
    assert sandbox.run_code(code).results == []


def test_contexts(sandbox: Sandbox) -> None:
    made = sandbox.create_code_context(cwd="/tmp")
    assert (made.language, made.cwd) == ("python", "/tmp")
    sandbox.run_code("mine = 1", context=made)
    assert sandbox.run_code("mine", context=made).text == "1"
    assert sandbox.run_code("mine").error is not None
    assert made.id in [one.id for one in sandbox.list_code_contexts()]
    sandbox.restart_code_context(made)
    assert sandbox.run_code("mine", context=made).error is not None
    sandbox.remove_code_context(made)
    assert made.id not in [one.id for one in sandbox.list_code_contexts()]
    with pytest.raises(NotFoundException):
        sandbox.remove_code_context(made)


def test_other_languages(sandbox: Sandbox) -> None:
    got = sandbox.run_code("echo from bash", language="bash")
    assert "".join(got.logs.stdout) == "from bash\n"


def test_a_cell_whose_client_gave_up_is_interrupted(sandbox: Sandbox) -> None:
    sandbox.run_code("kept = 'kept'")
    with pytest.raises(TimeoutException):
        sandbox.run_code("import time; time.sleep(1000)", timeout=1)
    began = time.monotonic()
    assert sandbox.run_code("kept", timeout=30).text == "kept"
    assert time.monotonic() - began < 10
