"""What a template with the data libraries gives: figures, charts, frames, contexts in numbers."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandboxkit import CodeTimeoutError, Sandbox
from tests.code import environments


@pytest.fixture(scope="module", params=["ipython", "plain"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "plain":
        options = environments.template(environments.plain())
    else:
        options = environments.template(environments.data(), "IPython")
    with Sandbox.create("local", provider_options=options, lifetime="10m") as made:
        yield made


def test_a_chart_is_data(sandbox: Sandbox) -> None:
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6], label='L')\n"
        "plt.title('T'); plt.xlabel('X (s)');"
    )
    (result,) = sandbox.run_code(code, check=True).results
    assert result.formats() == ["text", "png", "chart"]
    assert base64.b64decode(result.png).startswith(b"\x89PNG")
    chart = result.chart
    assert (chart["type"], chart["title"], chart["x_unit"]) == ("line", "T", "s")
    assert chart["elements"] == [{"label": "L", "points": [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("plt.bar(['a', 'b'], [1, 2]);", "bar"),
        ("plt.scatter([1], [2]);", "scatter"),
        ("plt.pie([1, 2], labels=['a', 'b']);", "pie"),
        ("f, axes = plt.subplots(1, 2); axes[0].plot([1]); axes[1].plot([2]);", "superchart"),
    ],
)
def test_kinds_of_charts(sandbox: Sandbox, code: str, kind: str) -> None:
    execution = sandbox.run_code("import matplotlib.pyplot as plt\n" + code, check=True)
    assert [result.chart["type"] for result in execution.results] == [kind]
    assert execution.logs.stderr == ""


def test_svg_on_request(sandbox: Sandbox) -> None:
    if sandbox.run_code("'get_ipython' in dir(__import__('builtins'))").text == "True":
        ask = "%config InlineBackend.figure_formats = ['png', 'svg']"
        expected = {"text", "png", "svg", "chart"}
    else:
        ask = "plt.rcParams['savefig.format'] = 'svg'"
        expected = {"text", "svg", "chart"}
    context = sandbox.contexts.create()
    sandbox.run_code("import matplotlib.pyplot as plt\nplt.plot([1]); plt.close()", context=context)
    sandbox.run_code(ask, context=context, check=True)
    (result,) = sandbox.run_code("plt.plot([1, 2]);", context=context, check=True).results
    assert set(result.formats()) == expected
    assert "<svg" in result.svg
    sandbox.contexts.remove(context)


def test_a_frame_is_data(sandbox: Sandbox) -> None:
    code = (
        "import pandas as pd\npd.DataFrame({'n': [1, 2], 'f': [0.5, float('nan')], "
        "'t': pd.to_datetime(['2026-01-02', None]), 's': ['x', None]})"
    )
    (result,) = sandbox.run_code(code, check=True).results
    assert result.formats() == ["text", "html", "data"]
    assert result.data == {
        "n": [1, 2],
        "f": [0.5, None],
        "t": ["2026-01-02T00:00:00", None],
        "s": ["x", None],
    }


def test_twenty_contexts_do_not_see_each_other(sandbox: Sandbox) -> None:
    sandbox.run_code("import os; [os.makedirs(f'/tmp/c{i}', exist_ok=True) for i in range(20)];")
    contexts = [
        sandbox.contexts.create(cwd=f"/tmp/c{number}", env={"WHO": str(number)})
        for number in range(20)
    ]
    for number, context in enumerate(contexts):
        code = f"import os\nname{number} = {number}; os.environ['SET'] = '{number}'"
        sandbox.run_code(code, context=context, check=True)
    code = (
        "import os; ([n for n in dir() if n.startswith('name')], os.getcwd(), os.environ['WHO'], "
        "os.environ['SET'])"
    )
    for number, context in enumerate(contexts):
        expected = ([f"name{number}"], f"/tmp/c{number}", str(number), str(number))
        assert sandbox.run_code(code, context=context).text == repr(expected)

    def run(number: int) -> str | None:
        sleep = 30 if number == 7 else 1.5
        code = f"import time; time.sleep({sleep}); name{number}"
        try:
            return sandbox.run_code(
                code, context=contexts[number], timeout=0.5 if number == 7 else None
            ).text
        except CodeTimeoutError as error:
            return f"interrupted, kept: {error.state_kept}"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(run, range(20)))
    expected = [str(number) for number in range(20)]
    expected[7] = "interrupted, kept: True"
    assert outcomes == expected
    assert sandbox.run_code("name7", context=contexts[7]).text == "7"
    for context in contexts:
        sandbox.contexts.remove(context)


def test_a_figure_of_20_mb_arrives_whole(sandbox: Sandbox) -> None:
    code = (
        "import io, numpy as np\nfrom PIL import Image\n"
        "noise = np.random.default_rng(1).integers(0, 256, (2600, 2600, 3), dtype='uint8')\n"
        "class Big:\n    def _repr_png_(self):\n        b = io.BytesIO()\n"
        "        Image.fromarray(noise).save(b, 'png', compress_level=0)\n"
        "        return b.getvalue()\nBig()"
    )
    (result,) = sandbox.run_code(code, check=True).results
    content = base64.b64decode(result.png)
    assert len(content) > 20_000_000
    assert content.endswith(b"IEND\xaeB\x60\x82")


def test_50_mb_of_text_arrives_whole_in_bounded_memory(sandbox: Sandbox) -> None:
    agent = "int(open('/proc/1/status').read().split('VmHWM:')[1].split()[0])"
    context = sandbox.contexts.create()
    before = int(sandbox.run_code(agent, context=context, check=True).text)
    size = sum(
        len(item.text)
        for item in sandbox.stream_code("for _ in range(500): print('x' * 99_999)", context=context)
        if hasattr(item, "text") and hasattr(item, "stream")
    )
    assert size == 500 * 100_000
    after = int(sandbox.run_code(agent, context=context, check=True).text)
    assert after - before < 16_000
    sandbox.contexts.remove(context)


@pytest.mark.timeout(120)
def test_a_million_small_prints(sandbox: Sandbox) -> None:
    began = time.monotonic()
    execution = sandbox.run_code("for i in range(1_000_000): print(i)", check=True)
    assert execution.logs.stdout.endswith("999999\n")
    assert len(execution.logs.stdout) == 6_888_890
    assert time.monotonic() - began < 60


def test_a_child_that_shows_something_is_not_heard(sandbox: Sandbox) -> None:
    code = (
        "import os\npid = os.fork()\nif not pid:\n"
        "    display('child'); print('said', flush=True); os._exit(3)\n"
        "os.waitpid(pid, 0)[1] >> 8"
    )
    execution = sandbox.run_code(code, check=True)
    assert (execution.logs.stdout, execution.text, len(execution.results)) == ("said\n", "3", 1)
    assert sandbox.run_code("1 + 1").text == "2"
