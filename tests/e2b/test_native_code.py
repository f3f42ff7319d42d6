"""Code in the template's own kernels, where the guest has no part in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import CodeTimeoutError, Sandbox, UnsupportedError
from tests.gateway.conftest import Served


@pytest.fixture
def native(vendor: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    (tmp_path / "sandboxkit.toml").write_text(
        '[profiles.native]\nprovider = "e2b"\nguest_user = ""\nnative_languages = ["python"]\n'
    )
    monkeypatch.chdir(tmp_path)
    for name, value in vendor.variables.items():
        monkeypatch.setenv(name, value)
    with Sandbox.create("native") as sandbox:
        yield sandbox


def test_cells_keep_state_and_say_all_that_they_do(native: Sandbox) -> None:
    heard: list[str] = []
    first = native.run_code(
        "import sys\nx = 6 * 7\nprint('out')\nprint('err', file=sys.stderr)\nx",
        on_stdout=heard.append,
    )
    assert (first.text, first.logs.stdout, first.logs.stderr) == ("42", "out\n", "err\n")
    assert heard == ["out\n"]
    assert first.context.startswith("e2b-")
    assert native.run_code("x + 1").text == "43"
    failed = native.run_code("1 / 0")
    assert failed.error is not None
    assert failed.error.name == "ZeroDivisionError"
    assert not native.run("pgrep -f kernel_start").ok


def test_contexts_are_apart_and_end(native: Sandbox) -> None:
    other = native.contexts.create(cwd="/tmp")
    assert other.id.startswith("e2b-")
    native.run_code("y = 1", context=other)
    failed = native.run_code("y")
    assert failed.error is not None
    assert native.run_code("import os; os.getcwd(), y", context=other).text == "('/tmp', 1)"
    native.contexts.restart(other)
    assert native.run_code("'y' in globals()", context=other).text == "False"
    native.contexts.remove(other)
    assert other.id not in [one.id for one in native.contexts.list()]
    with pytest.raises(UnsupportedError):
        native.contexts.create(env={"A": "1"})


def test_a_cell_ends_at_its_timeout_and_the_next_one_runs(native: Sandbox) -> None:
    native.run_code("z = 1")
    began = time.monotonic()
    with pytest.raises(CodeTimeoutError) as caught:
        native.run_code("print('on', flush=True)\nimport time\ntime.sleep(60)", timeout=1)
    assert time.monotonic() - began < 10
    assert caught.value.execution.logs.stdout == "on\n"
    assert native.run_code("'z' in globals()").text == "False"  # a kernel that starts anew is sure
