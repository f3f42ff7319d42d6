"""Cells of Python: state, values, output, errors, deadlines."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandboxkit import (
    CodeFailedError,
    CodeTimeoutError,
    NotFoundError,
    Sandbox,
    UnsupportedError,
)
from sandboxkit.conformance.survivors import marked_sleep, survivors

pytestmark = pytest.mark.needs("code")


def test_value_and_state(sandbox: Sandbox) -> None:
    assert sandbox.run_code("import math; math.pi").text == "3.141592653589793"
    assert sandbox.run_code("x = 41").text is None
    second = sandbox.run_code("x + 1")
    assert second.text == "42"
    assert second.execution_count == 3
    assert second.results[0].is_main_result


def test_output_and_callbacks(sandbox: Sandbox) -> None:
    out: list[str] = []
    results: list[str | None] = []
    execution = sandbox.run_code(
        "import sys, subprocess\nprint('ü')\nprint('err', file=sys.stderr)\n"
        "subprocess.run(['echo', 'child'])\nprint('last')\n'value'",
        on_stdout=out.append,
        on_result=lambda result: results.append(result.text),
    )
    assert "".join(out) == execution.logs.stdout == "ü\nchild\nlast\n"
    assert execution.logs.stderr == "err\n"
    assert results == [execution.text] == ["'value'"]


def test_output_streams(sandbox: Sandbox) -> None:
    seen: list[float] = []
    began = time.monotonic()
    code = "import time\nfor i in range(3):\n    print(i, flush=True); time.sleep(0.3)"
    sandbox.run_code(code, on_stdout=lambda _: seen.append(time.monotonic() - began))
    assert len(seen) == 3
    assert seen[-1] - seen[0] > 0.4


def test_errors_are_results(sandbox: Sandbox) -> None:
    errors: list[str] = []
    execution = sandbox.run_code(
        "def f():\n    return 1 / 0\nf()", on_error=lambda error: errors.append(error.name)
    )
    assert execution.error is not None
    assert errors == [execution.error.name] == ["ZeroDivisionError"]
    assert execution.error.value == "division by zero"
    assert "return 1 / 0" in execution.error.traceback
    assert "line 2, in f" in execution.error.traceback
    assert "\x1b" not in execution.error.traceback
    assert sandbox.run_code("f").error is None
    with pytest.raises(CodeFailedError, match="KeyError") as caught:
        sandbox.run_code("{}['x']", check=True)
    assert caught.value.execution.error.name == "KeyError"
    assert sandbox.run_code("def (").error.name == "SyntaxError"


def test_timeout_keeps_state(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    sandbox.run_code("kept = 'yes'")
    began = time.monotonic()
    with pytest.raises(CodeTimeoutError) as caught:
        sandbox.run_code(
            f"import subprocess\nsubprocess.Popen(['setsid', *{sleep!r}.split()])\n"
            f"print('partial', flush=True)\nsubprocess.run({sleep!r}.split())",
            timeout=1,
        )
    assert 0.9 < time.monotonic() - began < 3
    assert caught.value.state_kept
    assert caught.value.execution.logs.stdout == "partial\n"
    assert survivors(sandbox, sleep) == []
    began = time.monotonic()
    assert sandbox.run_code("kept", timeout=10).text == "'yes'"
    assert time.monotonic() - began < 3


def test_timeout_of_what_cannot_be_interrupted(sandbox: Sandbox) -> None:
    sandbox.run_code("lost = 1")
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    began = time.monotonic()
    with pytest.raises(CodeTimeoutError) as caught:
        sandbox.run_code(code, timeout=0.5)
    assert time.monotonic() - began < 6
    assert not caught.value.state_kept
    assert sandbox.run_code("'lost' in globals()").text == "False"


def test_a_crash_is_an_error_and_the_next_call_works(sandbox: Sandbox) -> None:
    sandbox.run_code("x = 1")
    execution = sandbox.run_code("import os; print('before', flush=True); os._exit(3)")
    assert execution.error is not None
    assert "status 3; the next cell runs in a fresh interpreter" in execution.error.value
    assert execution.context_restarted
    assert execution.logs.stdout == "before\n"
    assert sandbox.run_code("'x' in globals()").text == "False"


def test_a_segmentation_fault_and_a_kill_are_named(sandbox: Sandbox) -> None:
    fault = sandbox.run_code("import ctypes; x = 1; ctypes.string_at(0)")
    assert fault.error is not None
    assert "SIGSEGV" in fault.error.value
    assert fault.context_restarted
    killed = sandbox.run_code("import os; os.kill(os.getpid(), 9)")
    assert killed.error is not None
    assert "SIGKILL" in killed.error.value
    assert "memory" not in killed.error.value
    assert not killed.oom
    assert sandbox.run_code("'x' in globals()").text == "False"


def test_an_interpreter_that_runs_out_of_memory_is_told_apart(target) -> None:
    with target.create() as sandbox:
        if not sandbox.capabilities.limit_memory:
            assert not sandbox.run_code("1").oom
            return
    # What is asked for is more than the limit, and a figure of it would be as good.
    with target.create(resources={"memory": "256MiB"}) as sandbox:
        sandbox.run_code("x = 1")
        execution = sandbox.run_code("b = bytearray(600 << 20)")
        assert execution.oom
        assert execution.error is not None
        assert execution.error.value.startswith("out of memory: ")
        assert "the next cell runs in a fresh interpreter" in execution.error.value
        assert execution.context_restarted
        after = sandbox.run_code("'x' in globals()")
        assert (after.text, after.oom) == ("False", False)
        code = "python3 -c 'b = bytearray(600 << 20)'"
        shell = sandbox.run_code(code, language="bash")
        assert (shell.exit_code, shell.oom, shell.context_restarted) == (137, True, False)
        assert not sandbox.run_code("sh -c 'kill -9 $$'", language="bash").oom


def test_contexts_are_apart(sandbox: Sandbox) -> None:
    one = sandbox.contexts.create(cwd="/tmp")
    two = sandbox.contexts.create(env={"WHO": "two"})
    sandbox.run_code("x = 1; import os", context=one)
    assert sandbox.run_code("os.getcwd()", context=one).text == "'/tmp'"
    assert sandbox.run_code("'x' in globals()", context=two).text == "False"
    assert sandbox.run_code("import os; os.environ['WHO']", context=two.id).text == "'two'"
    assert {one.id, two.id} <= {context.id for context in sandbox.contexts.list()}
    assert sandbox.contexts.restart(one).id == one.id
    assert sandbox.run_code("'x' in globals()", context=one).text == "False"
    sandbox.contexts.remove(one)
    with pytest.raises(NotFoundError):
        sandbox.run_code("1", context=one)
    with pytest.raises(FileNotFoundError):
        sandbox.contexts.create(cwd="/no-such-dir")


def test_env_is_for_one_cell(sandbox: Sandbox) -> None:
    code = "import os; os.environ.get('ONCE')"
    assert sandbox.run_code(code, env={"ONCE": "a'\"\nb"}).text == repr("a'\"\nb")
    assert sandbox.run_code(code).text is None


def test_runs_as_the_user_and_shares_files(sandbox: Sandbox) -> None:
    assert sandbox.run_code("import os; os.getuid(), os.getcwd()").text == "(1000, '/home/user')"
    sandbox.files.write("data.csv", "a,b\n1,2\n")
    assert sandbox.run_code("open('data.csv').read()").text == "'a,b\\n1,2\\n'"


def test_unknown_language(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError, match="cobol"):
        sandbox.run_code("DISPLAY 'X'", language="cobol")


def test_cancel_interrupts(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            await sandbox.run_code("x = 5")
            sleep = marked_sleep()
            hidden = f"subprocess.Popen(['setsid', *{sleep!r}.split()])"
            code = f"import subprocess; {hidden}; subprocess.run({sleep!r}.split())"
            task = asyncio.create_task(sandbox.run_code(code))
            await asyncio.sleep(1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.2
            assert (await sandbox.run_code("x")).text == "5"
            with Sandbox.connect(sandbox.address) as facade:
                assert survivors(facade, sleep) == []

    asyncio.run(main())


def test_siblings_do_not_share_randomness(target) -> None:
    code = (
        "import random, os, tempfile, uuid, ssl\n"
        "[random.random(), os.urandom(8), tempfile.mktemp(), uuid.uuid4(), ssl.RAND_bytes(8)]"
    )
    with target.create() as one, target.create() as two:
        first = one.run_code(code, check=True).text
        second = two.run_code(code, check=True).text
        third = one.run_code(code, context=one.contexts.create(), check=True).text
    values = [text.strip("[]").split(", ") for text in (first, second, third)]
    assert all(len({row[index] for row in values}) == 3 for index in range(5))
