"""Results in the hands of who has pandas, Pillow and a notebook: a real one, in an ipykernel."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

from sandboxkit import Sandbox
from tests.code import environments

RUNNER = Path(__file__).with_name("notebook_runner.py")

CONNECT = """
import sys
sys.path += {paths!r}
from sandboxkit import Sandbox
sandbox = Sandbox.connect({address!r})
"""
DRAW = (
    "import matplotlib.pyplot as plt\\nprint('drawn')\\nplt.figure(figsize=(2, 1), dpi=100)\\n"
    "plt.plot([1, 2]);"
)
FRAME = (
    "import pandas as pd\\npd.DataFrame({'n': [1, 2], 'x': [0.5, None], "
    "'t': pd.to_datetime(['2026-01-02', None])})"
)
CELLS = {
    "connect": CONNECT,
    "a figure and text": f'drawn = sandbox.run_code("""{DRAW}""")\ndrawn',
    "one result": "drawn.results[0]",
    "an error": "sandbox.run_code('1/0')",
    "html": """sandbox.run_code("display({'text/html': '<b>bold</b>'}, raw=True)")""",
    "nothing": "sandbox.run_code('x = 1')",
    "an image": (
        "picture = drawn.results[0].image()\n"
        "[picture.format, picture.size, picture.convert('RGB').getpixel((0, 0))]"
    ),
    "a picture saved": (
        "import pathlib, tempfile\nfrom PIL import Image\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\ndrawn.results[0].save(folder / 'a.png')\n"
        "Image.open(folder / 'a.png').tobytes() == picture.tobytes()"
    ),
    "a jpeg": (
        'photo = sandbox.run_code("""import io\\nfrom PIL import Image\\nclass Photo:\\n'
        "    def _repr_jpeg_(self):\\n        buffer = io.BytesIO()\\n"
        "        Image.new('RGB', (3, 2), 'red').save(buffer, 'jpeg')\\n"
        '        return buffer.getvalue()\\nPhoto()""").results[0]\n'
        "photo.save(folder / 'a.jpg')\n"
        "[photo.image().format, Image.open(folder / 'a.jpg').size]"
    ),
    "a frame": (
        f'framed = sandbox.run_code("""{FRAME}""").results[0]\nframe = framed.dataframe()\n'
        "[type(frame).__module__, list(frame.columns), int(frame['n'].sum()), "
        "int(frame['x'].isna().sum()), frame['t'][0]]"
    ),
    "a frame saved": (
        "framed.save(folder / 'a.html'); framed.save(folder / 'a.json', format='data')\n"
        "import json\n['<table' in (folder / 'a.html').read_text(), "
        "json.loads((folder / 'a.json').read_text())['n']]"
    ),
}


@cache
def outputs() -> dict[str, list[dict[str, Any]]]:
    """What every cell of the notebook shows."""
    root = environments.ROOT
    paths = [root, root / "providers" / "local", sysconfig.get_path("purelib")]
    options = environments.template(environments.data(), "IPython")
    with Sandbox.create("local", provider_options=options, lifetime="5m") as sandbox:
        address = sandbox.address
        cells = [
            code.format(paths=[str(path) for path in paths], address=address)
            if code is CONNECT
            else code
            for code in CELLS.values()
        ]
        done = subprocess.run(
            [str(environments.data() / "bin" / "python"), str(RUNNER)],
            input=json.dumps(cells),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    notebook = json.loads(done.stdout)
    shown = dict(zip(CELLS, (cell["outputs"] for cell in notebook["cells"]), strict=True))
    assert shown["connect"] == []
    return shown


def result(name: str) -> dict[str, str]:
    """The MIME bundle of a cell's value, which is all that the cell shows."""
    (output,) = outputs()[name]
    assert output["output_type"] == "execute_result", output
    return {mime: "".join(text) for mime, text in output["data"].items()}


def test_an_execution_shows_itself() -> None:
    bundle = result("a figure and text")
    assert set(bundle) == {"text/plain", "text/html"}
    assert "drawn\n<Figure size 200x100 with 1 Axes>" in bundle["text/plain"]
    assert "drawn" in bundle["text/html"]
    assert '<img src="data:image/png;base64,iVBOR' in bundle["text/html"]


def test_a_result_shows_itself() -> None:
    bundle = result("one result")
    assert bundle["text/plain"] == "<Figure size 200x100 with 1 Axes>"
    assert bundle["text/html"].startswith('<img src="data:image/png;base64,iVBOR')


def test_an_error_is_shown_and_raises_nothing() -> None:
    bundle = result("an error")
    assert "ZeroDivisionError: division by zero" in bundle["text/plain"]
    assert "ZeroDivisionError" in bundle["text/html"]


def test_html_is_in_a_frame_of_its_own() -> None:
    bundle = result("html")
    assert '<iframe sandbox="allow-scripts" srcdoc="&lt;b&gt;bold' in bundle["text/html"]


def test_nothing_is_shown_as_nothing() -> None:
    assert result("nothing")["text/plain"] == ""


def test_an_image_is_pillows() -> None:
    kind, size, pixel = eval(result("an image")["text/plain"])
    assert (kind, pixel) == ("PNG", (255, 255, 255))
    assert size[0] > size[1] > 50
    assert result("a picture saved")["text/plain"] == "True"
    assert eval(result("a jpeg")["text/plain"]) == ["JPEG", (3, 2)]


def test_a_frame_is_pandas() -> None:
    module, columns, total, missing, when = eval(result("a frame")["text/plain"])
    assert module.startswith("pandas")
    assert (columns, total, missing, when) == (["n", "x", "t"], 3, 1, "2026-01-02T00:00:00")
    assert eval(result("a frame saved")["text/plain"]) == [True, [1, 2]]
