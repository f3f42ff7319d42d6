"""The interpreter alone: forked, and as a program of every Python there is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.interpreterclient import InterpreterClient

VERSIONS = Path("~/.pyenv/versions").expanduser()
PYTHONS = [None, sys.executable] + [
    str(python)
    for version in ("3.8.18", "3.13.0")
    if (python := VERSIONS / version / "bin/python").exists()
]


@pytest.fixture(params=PYTHONS, ids=lambda python: python or "forked")
def interpreter(request: pytest.FixtureRequest) -> Iterator[InterpreterClient]:
    with InterpreterClient(request.param) as client:
        yield client


@pytest.fixture
def forked() -> Iterator[InterpreterClient]:
    with InterpreterClient() as client:
        yield client


VALUES = {
    "number": ("1 + 1", "2"),
    "text": ("'\\u00e9\\U0001f600'", "'é😀'"),
    "lone surrogate": ("'a\\ud800'.encode('utf-8', 'surrogatepass')", "b'a\\xed\\xa0\\x80'"),
    "none": ("None", None),
    "statement": ("x = 1", None),
    "empty": ("", None),
    "comment": ("# nothing", None),
    "last of several": ("x = 20\ny = 22\nx + y", "42"),
    "semicolon": ("1; # quiet", None),
    "no semicolon": ("1 # ;", "1"),
    "value in the middle": ("1\nx = 2", None),
    "main": ("__name__", "'__main__'"),
    "argv": ("import sys; sys.argv", "['']"),
    "generator": ("list(i * i for i in range(4))", "[0, 1, 4, 9]"),
    "comprehension sees globals": ("n = 3\n[n for _ in range(2)]", "[3, 3]"),
    "await": ("import asyncio\nawait asyncio.sleep(0, 'slept')", "'slept'"),
    "async for": (
        "async def g():\n    yield 1\n    yield 2\n[x async for x in g()]",
        "[1, 2]",
    ),
    "asyncio.run": ("import asyncio\nasync def f(): return 7\nasyncio.run(f())", "7"),
    "pickle": (
        (
            "import pickle\nclass A:\n    def __eq__(self, o): return isinstance(o, A)\n"
            "pickle.loads(pickle.dumps(A())) == A()"
        ),
        "True",
    ),
    "dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int = 1\nP(2)",
        "P(x=2)",
    ),
    "future": (
        "from __future__ import annotations\ndef f(x: Undefined): pass\nf.__annotations__",
        "{'x': 'Undefined'}",
    ),
    "source": ("import inspect\ndef f(): return 1\ninspect.getsource(f)", "'def f(): return 1\\n'"),
    "multiprocessing": (
        (
            "import multiprocessing\ndef sq(x): return x * x\n"
            "with multiprocessing.get_context('fork').Pool(2) as p: r = p.map(sq, range(3))\nr"
        ),
        "[0, 1, 4]",
    ),
    "stdin": ("import sys; sys.stdin.read()", "''"),
}


@pytest.mark.parametrize("name", VALUES)
def test_value(interpreter: InterpreterClient, name: str) -> None:
    code, text = VALUES[name]
    outcome = interpreter.run(code)
    assert [event for event in outcome.events if event["event"] == "raised"] == []
    assert outcome.text == text


RAISED = {
    "division": ("1/0", "ZeroDivisionError", "division by zero"),
    "exit with a number": ("import sys; sys.exit(3)", "SystemExit", "3"),
    "exit with nothing": ("raise SystemExit", "SystemExit", ""),
    "own class": ("class E(Exception): pass\nraise E('m')", "E", "m"),
    "base exception": ("raise GeneratorExit('g')", "GeneratorExit", "g"),
    "cancelled": ("import asyncio\nraise asyncio.CancelledError", "CancelledError", ""),
    "str that raises": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "E",
        "<unprintable E object>",
    ),
    "repr that raises": (
        "class R:\n    def __repr__(self): raise KeyError('r')\nR()",
        "KeyError",
        "'r'",
    ),
    "awaited": (
        "async def f(): raise ValueError('in a task')\nawait f()",
        "ValueError",
        "in a task",
    ),
}


@pytest.mark.parametrize("name", RAISED)
def test_raised(interpreter: InterpreterClient, name: str) -> None:
    code, kind, value = RAISED[name]
    error = interpreter.run(code).error
    assert (error["name"], error["value"]) == (kind, value)
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert "guest/agent" not in error["traceback"]
    assert "\x1b" not in error["traceback"]
    assert interpreter.run("'alive'").text == "'alive'"


def test_traceback_shows_lines_of_several_cells(interpreter: InterpreterClient) -> None:
    interpreter.run("def f(x):\n    return 1 / x  # here")
    trace = interpreter.run("y = 0\nf(y)").error["traceback"]
    assert 'File "<cell 2>", line 2, in <module>\n    f(y)' in trace
    assert 'File "<cell 1>", line 2, in f\n    return 1 / x  # here' in trace


def test_chained_traceback(interpreter: InterpreterClient) -> None:
    code = "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('v') from e"
    trace = interpreter.run(code).error["traceback"]
    assert "KeyError: 'k'\n\nThe above exception was the direct cause" in trace
    assert trace.endswith("ValueError: v\n")


def test_syntax_error_looks_as_python_prints_it(interpreter: InterpreterClient) -> None:
    error = interpreter.run("x = 1\ny = (\n").error
    assert error["name"] == "SyntaxError"
    assert error["traceback"].startswith('  File "<cell 1>", line')
    assert "Traceback" not in error["traceback"]
    assert interpreter.run("'x' in globals()").text == "False"


@pytest.mark.parametrize(
    "code", ["a\0b", "'\ud800'", "(" * 5000 + ")" * 5000, "x\n  y", "return 1"]
)
def test_source_that_cannot_be_compiled(interpreter: InterpreterClient, code: str) -> None:
    assert interpreter.run(code).error["name"]
    assert interpreter.run("1").text == "1"


def test_recursion_error_is_short(interpreter: InterpreterClient) -> None:
    error = interpreter.run("def f(): return f()\nf()").error
    assert error["name"] == "RecursionError"
    assert "[Previous line repeated" in error["traceback"]
    assert interpreter.run("1").text == "1"


def test_large_error_is_shortened(forked: InterpreterClient) -> None:
    error = forked.run("raise ValueError('\U0001f600' * 10**6)").error
    assert len(error["value"]) < 40_000
    assert "characters left out" in error["value"]
    assert len(error["traceback"]) < 60_000


def test_underscore_is_the_last_value(interpreter: InterpreterClient) -> None:
    interpreter.run("21")
    interpreter.run("x = _")
    assert interpreter.run("_ + x").text == "42"
    interpreter.run("_ = 'mine'")
    interpreter.run("5")
    assert interpreter.run("_").text == "'mine'"


def test_input_fails_at_once(interpreter: InterpreterClient) -> None:
    error = interpreter.run("input('name? ')").error
    assert error["name"] == "EOFError"
    assert "standard input" in error["value"]
    assert "plain_shell" not in error["traceback"]


def test_future_import_lasts(interpreter: InterpreterClient) -> None:
    interpreter.run("from __future__ import annotations")
    assert interpreter.run("def f(x: Nope): pass\nf.__annotations__").text == "{'x': 'Nope'}"


def test_loop_is_kept(interpreter: InterpreterClient) -> None:
    interpreter.run(
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 'kept'\n"
        "async def start():\n    return asyncio.ensure_future(f())\ntask = await start()"
    )
    interpreter.run("asyncio.run(asyncio.sleep(0))")
    assert interpreter.run("await task").text == "'kept'"


def test_rich_forms(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run(
        "class R:\n"
        "    def __repr__(self): return 'plain'\n"
        "    def _repr_html_(self): return '<b>rich</b>'\n"
        "    def _repr_png_(self): return b'png'\n"
        "    def _repr_svg_(self): raise ValueError\n"
        "    def _repr_json_(self): return {'a': [1]}\n"
        "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        return {'x/y': 'z', 'x/unsendable': object()}\n"
        "R()"
    )
    (event,) = outcome.events
    assert event == {
        "event": "result",
        "main": True,
        "data": {
            "text/plain": "plain",
            "text/html": "<b>rich</b>",
            "image/png": "cG5n",
            "application/json": {"a": [1]},
            "x/y": "z",
        },
    }
    assert len(interpreter.run("R").events[0]["data"]) == 1


def test_large_result_arrives_in_parts(forked: InterpreterClient) -> None:
    *parts, last = forked.run("'\U0001f600' * 200_000").events
    assert {part["event"] for part in parts} == {"result_part"}
    assert {part["id"] for part in parts} == {last["parts"]}
    assert "".join(part["part"] for part in parts) == repr("\U0001f600" * 200_000)
    assert last["data"] == {}


def test_large_json_is_serialised_first(forked: InterpreterClient) -> None:
    code = "class J:\n    def _repr_json_(self): return list(range(50_000))\nJ()"
    *parts, last = forked.run(code).events
    assert last["json_parts"] == ["application/json"]
    text = "".join(part["part"] for part in parts)
    assert text.startswith("[0, 1,")
    assert text.endswith("49999]")


def test_prints_come_in_order(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run(
        "import os, subprocess, sys\nprint('one')\nsubprocess.run(['echo', 'two'])\n"
        "os.system('echo three')\nprint('fo', end='')\nos.write(2, b'err\\n')\nprint('ur')\n"
        "print('é', file=sys.stderr)\nprint('last', end='')"
    )
    assert outcome.stdout == "one\ntwo\nthree\nfour\nlast"
    assert outcome.stderr == "err\né\n"


def test_lines_of_threads_stay_whole(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run(
        "import threading\n"
        "def f(n):\n    for i in range(200): print('%d:%d' % (n, i))\n"
        "ts = [threading.Thread(target=f, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in ts] and [t.join() for t in ts] and None"
    )
    assert sorted(outcome.stdout.split()) == sorted(
        f"{n}:{i}" for n in range(4) for i in range(200)
    )


def test_c_library_output_is_flushed(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run("import ctypes; ctypes.CDLL(None).printf(b'from C\\n'); None")
    assert outcome.stdout == "from C\n"


def test_forked_child_does_not_speak(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run(
        "import os, sys\nprint('once', end=' ')\npid = os.fork()\n"
        "if pid == 0:\n    print('child')\n    sys.exit(9)\n"
        "os.waitpid(pid, 0)[1] >> 8"
    )
    assert outcome.stdout == "once child\n"
    assert outcome.text == "9"
    assert interpreter.run("os.getpid()").text == str(interpreter.pid)


def test_env_is_set_for_one_cell(interpreter: InterpreterClient) -> None:
    code = "import os, subprocess; subprocess.run('echo $CELL_A', shell=True); os.getenv('CELL_A')"
    outcome = interpreter.run(code, env={"CELL_A": 'it\'s "1" é'})
    assert outcome.stdout == 'it\'s "1" é\n'
    assert outcome.text == repr('it\'s "1" é')
    assert interpreter.run("os.environ['B'] = 'stays'; os.getenv('CELL_A')").text is None
    assert interpreter.run("os.getenv('B')", env={"B": "other"}).text == "'other'"
    assert interpreter.run("os.getenv('B')").text == "'stays'"


def test_closed_and_replaced_streams(interpreter: InterpreterClient) -> None:
    interpreter.run("import sys, io; sys.stdout.close()")
    assert interpreter.run("print('again')").stdout == "again\n"
    interpreter.run("sys.stdout = io.StringIO()")
    interpreter.run("print('kept')")
    assert interpreter.run("sys.stdout.getvalue()").text == "'kept\\n'"
    interpreter.run("sys.stdout = None")
    assert interpreter.run("print('nowhere'); 1").text == "1"
    assert interpreter.run("sys.stdout = sys.__stdout__; print('back')").stdout == "back\n"


def test_exit_builtin_leaves_context_usable(interpreter: InterpreterClient) -> None:
    assert interpreter.run("exit(2)").error["name"] == "SystemExit"
    assert interpreter.run("print('on')").stdout == "on\n"


def test_warning_appears_in_every_cell() -> None:
    # Not forked from here, where pytest keeps warnings to itself.
    with InterpreterClient(sys.executable) as interpreter:
        for number in (1, 2):
            outcome = interpreter.run("import warnings; warnings.warn('careful')")
            assert f"<cell {number}>:1: UserWarning: careful" in outcome.stderr


BLOCKING = {
    "sleep": "import time; time.sleep(60)",
    "loop": "while True: pass",
    "await": "import asyncio; await asyncio.sleep(60)",
    "busy await": "async def f():\n    while True: pass\nawait f()",
    "asyncio.run": "import asyncio; asyncio.run(asyncio.sleep(60))",
    "lock": "import threading; threading.Event().wait()",
    "subprocess": "import subprocess; subprocess.run(['sleep', '60'])",
    "repr": "class R:\n    def __repr__(self):\n        while True: pass\nR()",
}


@pytest.mark.parametrize("name", BLOCKING)
def test_interrupt_keeps_state(interpreter: InterpreterClient, name: str) -> None:
    interpreter.run("state = 41")
    outcome = interpreter.run("print('go', flush=True)\n" + BLOCKING[name], at="go")
    assert outcome.error["name"] == "KeyboardInterrupt"
    assert "guest/agent" not in outcome.error["traceback"]
    assert interpreter.run("state + 1").text == "42"


def test_interrupted_await_runs_finally(interpreter: InterpreterClient) -> None:
    outcome = interpreter.run(
        "import asyncio\ntry:\n    print('go')\n    await asyncio.sleep(60)\n"
        "finally:\n    print('cleaned')",
        at="go",
    )
    assert outcome.stdout == "go\ncleaned\n"
    assert outcome.error["name"] == "KeyboardInterrupt"


def test_interrupt_between_cells_does_nothing(interpreter: InterpreterClient) -> None:
    interpreter.run("x = 1")
    for _ in range(20):
        interpreter.interrupt()
        assert interpreter.run("x").text == "1"


def test_own_interrupt_handler_is_kept(interpreter: InterpreterClient) -> None:
    interpreter.run(
        "import signal\nsignal.signal(signal.SIGINT, lambda *a: got.append(1))\ngot = []"
    )
    interpreter.interrupt()
    assert interpreter.run("got").text == "[]"
    code = "print('go')\nwhile not got: pass\nlen(got)"
    assert interpreter.run(code, at="go").text == "1"


def test_interrupt_storm_never_kills_it(forked: InterpreterClient) -> None:
    # Threads change so often that several interrupts come between two steps of the interpreter.
    forked.run("import os, signal, sys, threading, time; sys.setswitchinterval(1e-5)")
    # Its end is told by a flag: a `join` that was interrupted takes a running thread for ended.
    forked.run(
        "over = False\ndef storm():\n    global over\n    for number in range(30_000):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        if number % 10 == 0: time.sleep(0)\n    over = True\n"
        "threading.Thread(target=storm).start()"
    )
    over = None
    while over != "True":
        outcome = forked.run("over")
        assert outcome.alive
        over = outcome.text
    assert forked.run("6 * 7").text == "42"


def test_death_is_seen(interpreter: InterpreterClient) -> None:
    assert not interpreter.run("import os; print('last'); os._exit(3)").alive


def test_ends_when_the_agent_hangs_up() -> None:
    client = InterpreterClient()
    client._socket.close()
    assert os.waitpid(client.pid, 0) == (client.pid, 0)
