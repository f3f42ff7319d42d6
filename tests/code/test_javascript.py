"""JavaScript and TypeScript contexts, on the system's Node.js and on a newer one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from sandboxkit import CodeTimeoutError, Sandbox, UnsupportedError
from sandboxkit.models import Execution
from tests.code import environments

SYSTEM = shutil.which("node", path="/usr/local/bin:/usr/bin:/bin")


@pytest.fixture(scope="module", params=["newer", *(["system"] if SYSTEM else [])])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    options = environments.template(environments.data()) if request.param == "newer" else {}
    with Sandbox.create("local", provider_options=options, lifetime="10m") as made:
        yield made


def js(sandbox: Sandbox, code: str, **options: object) -> Execution:
    return sandbox.run_code(code, language="javascript", **options)


VALUES = {
    "declared again": ("const x = 1; const y = 2\nx + y", "3"),
    "and once more": ("const x = 41; x + 1", "42"),
    "await": ("await new Promise((r) => setTimeout(r, 10, 'slept'))", "'slept'"),
    "destructured await": ("const { a } = await Promise.resolve({ a: 1 }); a", "1"),
    "null": ("null", "null"),
    "undefined": ("undefined", None),
    "declaration": ("let q = 5", None),
    "number": ("NaN", "NaN"),
    "bigint": ("10n ** 20n", "100000000000000000000n"),
    "map": ("new Map([[1, 2]])", "Map(1) { 1 => 2 }"),
    "function": ("function f() { return 7 }; f()", "7"),
    "class": ("class C { x = 1 }; new C()", "C { x: 1 }"),
    "class again": ("class C { y = 2 }; new C()", "C { y: 2 }"),
    "require": ("require('path').join('a', 'b')", "'a/b'"),
    "import": (
        "import fs, { readFileSync as r } from 'fs'\ntypeof r + typeof fs",
        "'functionobject'",
    ),
    "import all": ("import * as p from 'node:path'; p.basename('/a/b')", "'b'"),
    "dynamic import": ("(await import('node:path')).basename('/a/b')", "'b'"),
    "import in a string": ("'import x from y' // import z from 'z'", "'import x from y'"),
    "built-in module": ("os.EOL", "'\\n'"),
    "directory": ("process.cwd()", "'/home/user'"),
}


@pytest.mark.parametrize("name", VALUES)
def test_value(sandbox: Sandbox, name: str) -> None:
    code, text = VALUES[name]
    execution = js(sandbox, code)
    assert execution.error is None
    assert execution.text == text


def test_output_display_and_forms(sandbox: Sandbox) -> None:
    execution = js(
        sandbox,
        "console.log('é'); console.error('err'); await display([1]); await display("
        "{'text/html': '<b>'}, {raw: true});\n"
        "({[Symbol.for('Jupyter.display')]: () => ({'image/png': Buffer.from('x')})})",
    )
    assert (execution.logs.stdout, execution.logs.stderr) == ("é\n", "err\n")
    one, two, three = execution.results
    assert (one.text, one.json, one.is_main_result) == ("[ 1 ]", [1], False)
    assert two.html == "<b>"
    assert (three.png, three.is_main_result) == ("eA==", True)


def test_errors(sandbox: Sandbox) -> None:
    error = js(sandbox, "const bad = () => { throw new TypeError('no') }\nbad()").error
    assert (error.name, error.value) == ("TypeError", "no")
    assert error.traceback.startswith("TypeError: no\n    at bad (cell-")
    assert "inspector" not in error.traceback
    assert js(sandbox, "await Promise.reject(new RangeError('r'))").error.name == "RangeError"
    error = js(sandbox, "x = = 1").error
    assert error.name == "SyntaxError"
    assert "x = = 1\n    ^" in error.traceback
    assert js(sandbox, "throw 5").error.value == "5"
    late = "setTimeout(() => { throw new Error('late') }, 5)\n"
    late += "await new Promise((r) => setTimeout(r, 50))"
    execution = js(sandbox, late)
    assert execution.error is None
    assert "late" in execution.logs.stderr


@pytest.mark.parametrize("code", ["while (true) {}", "await new Promise(() => {})"])
def test_timeout_keeps_state(sandbox: Sandbox, code: str) -> None:
    js(sandbox, "var kept = 'yes'")
    began = time.monotonic()
    with pytest.raises(CodeTimeoutError) as caught:
        js(sandbox, code, timeout=0.5)
    assert time.monotonic() - began < 3
    assert caught.value.state_kept
    assert js(sandbox, "kept").text == "'yes'"


def test_busy_after_an_await_is_killed(sandbox: Sandbox) -> None:
    with pytest.raises(CodeTimeoutError) as caught:
        js(sandbox, "await null; while (true) {}", timeout=0.5)
    assert not caught.value.state_kept
    assert js(sandbox, "1").text == "1"


def test_its_end_is_an_error(sandbox: Sandbox) -> None:
    execution = js(sandbox, "console.log('before'); process.exit(3)")
    assert "status 3" in execution.error.value
    assert execution.context_restarted
    assert execution.logs.stdout == "before\n"


def test_env_is_for_one_cell(sandbox: Sandbox) -> None:
    assert js(sandbox, "process.env.A", env={"A": "it's"}).text == '"it\'s"'
    assert js(sandbox, "process.env.A").text is None


def test_large_text_stays_whole(sandbox: Sandbox) -> None:
    assert js(sandbox, "'a' + '😀'.repeat(70000)").text == "'a" + "😀" * 70_000 + "'"


def test_typescript(sandbox: Sandbox) -> None:
    version = js(sandbox, "process.versions.node").text.strip("'")
    if tuple(map(int, version.split(".")[:2])) >= (22, 13):
        code = "interface P { n: number }\nconst p: P = { n: 5 }; p.n"
        assert sandbox.run_code(code, language="typescript").text == "5"
        assert sandbox.run_code("(p as any).n + 1", language="ts").text == "6"
        assert sandbox.run_code("let y: = 5", language="ts").error.name == "SyntaxError"
    else:
        with pytest.raises(UnsupportedError, match=r"Node.js 22\.13"):
            sandbox.run_code("1", language="typescript")
        with pytest.raises(UnsupportedError, match=r"Node.js 22\.13"):
            sandbox.contexts.create("typescript")
