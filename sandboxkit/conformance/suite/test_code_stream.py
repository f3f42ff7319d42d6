"""Cells whose output is iterated as it comes."""

from __future__ import annotations

import time

import pytest

from sandboxkit import (
    AsyncSandbox,
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


def test_refused_before_it_begins(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError, match="cobol"):
        next(sandbox.stream_code("x", language="cobol"))


def test_async(target) -> None:
    import asyncio

    async def main() -> None:
        async with AsyncSandbox.create(target.profile, session=target.session) as sandbox:
            kinds = [type(item) async for item in sandbox.stream_code("print(1)\n2")]
            assert kinds == [OutputText, Result, Execution]

    asyncio.run(main())
