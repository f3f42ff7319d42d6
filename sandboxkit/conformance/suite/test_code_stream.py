"""Cells whose output is iterated as it comes."""

from __future__ import annotations

import time

import pytest

from sandboxkit import (
    CodeError,
    CodeTimeoutError,
    Execution,
    OutputText,
    Result,
    Sandbox,
    UnsupportedError,
)

pytestmark = pytest.mark.needs("code")


def test_everything_in_order(sandbox: Sandbox) -> None:
    code = "import sys\nprint('é')\ndisplay({'a': 1})\nprint('err', file=sys.stderr)\n1/0"
    seen = list(sandbox.stream_code(code))
    texts = [(item.stream, item.text) for item in seen if isinstance(item, OutputText)]
    assert sorted(texts) == [("stderr", "err\n"), ("stdout", "é\n")]
    (shown,) = [item for item in seen if isinstance(item, Result)]
    assert seen.index(OutputText("stdout", "é\n")) < seen.index(shown)
    assert (shown.json, shown.is_main_result) == ({"a": 1}, False)
    (error,) = [item for item in seen if isinstance(item, CodeError)]
    last = seen[-1]
    assert isinstance(last, Execution)
    assert (last.error, last.results, last.logs.stdout) == (error, (shown,), "é\n")


def test_it_comes_as_it_happens(sandbox: Sandbox) -> None:
    began = time.monotonic()
    arrivals = [
        time.monotonic() - began
        for item in sandbox.stream_code("import time\nprint(1, flush=True); time.sleep(1)\n2")
        if isinstance(item, OutputText | Result)
    ]
    assert len(arrivals) == 2
    assert arrivals[1] - arrivals[0] > 0.8


def test_leaving_interrupts(sandbox: Sandbox) -> None:
    for item in sandbox.stream_code("import time\nkept = 1\nprint('in')\ntime.sleep(60)"):
        assert item == OutputText("stdout", "in\n")
        break
    began = time.monotonic()
    assert sandbox.run_code("kept").text == "1"
    assert time.monotonic() - began < 3


def test_timeout(sandbox: Sandbox) -> None:
    cell = sandbox.stream_code("print('in')\nwhile True: pass", timeout=0.5)
    assert next(cell) == OutputText("stdout", "in\n")
    with pytest.raises(CodeTimeoutError) as caught:
        list(cell)
    assert caught.value.state_kept
    assert caught.value.execution.logs.stdout == "in\n"


def test_callbacks_come_as_things_happen(sandbox: Sandbox) -> None:
    seen: dict[str, float] = {}

    def note(name: str):
        return lambda _: seen.setdefault(name, time.monotonic())

    sandbox.run_code(
        "import sys, time\nprint('out')\nprint('err', file=sys.stderr)\ndisplay(1)\n"
        "time.sleep(1)\n1/0",
        on_stdout=note("stdout"),
        on_stderr=note("stderr"),
        on_result=note("result"),
        on_error=note("error"),
    )
    error = seen.pop("error")
    assert set(seen) == {"stdout", "stderr", "result"}
    assert all(error - when > 0.8 for when in seen.values())


def test_a_callback_that_raises_interrupts_the_cell(sandbox: Sandbox) -> None:
    def stop(_: object) -> None:
        raise LookupError("that is enough")

    code = "kept = 1\nprint('out', flush=True)\ndisplay(2)\nimport time; time.sleep(60)\nlate = 1"
    for callback in ("on_stdout", "on_result"):
        began = time.monotonic()
        with pytest.raises(LookupError, match="enough"):
            sandbox.run_code(code, **{callback: stop})
        assert time.monotonic() - began < 3
        assert sandbox.run_code("kept, 'late' in globals()").text == "(1, False)"


def test_refused_before_it_begins(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError, match="cobol"):
        next(sandbox.stream_code("x", language="cobol"))


def test_async(target) -> None:
    import asyncio

    async def main() -> None:
        async with target.acreate() as sandbox:
            kinds = [type(item) async for item in sandbox.stream_code("print(1)\n2")]
            assert kinds == [OutputText, Result, Execution]
            heard: list[str] = []

            async def slowly(text: str) -> None:
                await asyncio.sleep(0.05)
                heard.append(text)

            await sandbox.run_code("print('awaited')", on_stdout=slowly)
            assert heard == ["awaited\n"]

    asyncio.run(main())
