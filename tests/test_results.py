"""Results as users hold them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from sandboxkit import CodeError, CodeFailedError, Execution, InvalidRequestError, Logs, Result

PNG = base64.b64encode(b"\x89PNG").decode()
FULL = Result(
    {
        "text/plain": "<Figure>",
        "text/html": "<b>hé</b><script>x</script>",
        "text/markdown": "*m*",
        "image/svg+xml": "<svg/>",
        "image/png": PNG,
        "image/jpeg": PNG,
        "application/pdf": PNG,
        "text/latex": "$x$",
        "application/json": {"a": 1},
        "application/javascript": "x()",
        "application/vnd.sandboxkit.data+json": {"a": [1, 2]},
        "application/vnd.sandboxkit.chart+json": {"type": "line"},
        "application/x-mine": "y",
    },
    is_main_result=True,
)

NAMES = (
    *("text", "html", "markdown", "svg", "png", "jpeg"),
    *("pdf", "latex", "json", "javascript", "data", "chart"),
)


def test_every_form_has_its_name() -> None:
    names = list(NAMES)
    assert FULL.formats() == [*names, "application/x-mine"]
    assert [getattr(FULL, name) for name in names] == list(FULL.mimebundle.values())[:-1]
    assert FULL.extra == {"application/x-mine": "y"}
    empty = Result({})
    assert empty.formats() == []
    assert all(getattr(empty, name) is None for name in names)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"\x89PNG"),
        ("a.jpg", b"\x89PNG"),
        ("a.pdf", b"\x89PNG"),
        ("a.svg", b"<svg/>"),
        ("a.html", FULL.html.encode()),
        ("a.json", b'{"a": 1}'),
        ("a.txt", b"<Figure>"),
    ],
)
def test_save_goes_by_the_suffix(tmp_path: Path, name: str, content: bytes) -> None:
    FULL.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_save_of_a_named_form(tmp_path: Path) -> None:
    FULL.save(tmp_path / "chart.json", format="chart")
    assert json.loads((tmp_path / "chart.json").read_text()) == {"type": "line"}
    FULL.save(str(tmp_path / "mine"), format="application/x-mine")
    assert (tmp_path / "mine").read_text() == "y"
    with pytest.raises(InvalidRequestError, match="text"):
        Result({"text/plain": "x"}).save(tmp_path / "x.png")
    with pytest.raises(InvalidRequestError, match="save"):
        FULL.save(tmp_path / "x.xyz")


def test_what_is_no_picture_and_no_data() -> None:
    with pytest.raises(InvalidRequestError, match="no picture"):
        Result({"text/plain": "x"}).image()
    with pytest.raises(InvalidRequestError, match="no data frame"):
        Result({"text/plain": "x"}).dataframe()


def test_check() -> None:
    assert Execution().check() == Execution()
    with pytest.raises(CodeFailedError, match="E: v"):
        Execution(error=CodeError("E", "v", "t")).check()
    with pytest.raises(CodeFailedError, match="exit code 2"):
        Execution(exit_code=2).check()


def test_a_notebook_runs_nothing_of_what_a_sandbox_sends() -> None:
    hostile = '</pre><script>alert("x")</script>'
    execution = Execution(
        results=(
            Result({"text/html": hostile}),
            Result({"image/svg+xml": f"<svg>{hostile}</svg>"}),
            Result({"image/png": f'"><script>{hostile}'}),
            Result({"text/plain": hostile}),
            Result({"application/x": hostile}),
        ),
        logs=Logs(hostile, hostile),
        error=CodeError("E", "v", hostile),
    )
    shown = execution._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}
    assert "<script" not in shown["text/html"]
    assert "allow-same-origin" not in shown["text/html"]
    assert shown["text/html"].count("<iframe sandbox") == 1


def test_a_notebook_shows_all_of_it() -> None:
    execution = Execution(
        results=(FULL,), logs=Logs("printed\n", "err\n"), error=CodeError("E", "v", "trace")
    )
    shown = execution._repr_mimebundle_()
    assert shown["text/plain"] == "printed\nerr\n<Figure>\ntrace"
    for part in ("printed", "err", f"data:image/png;base64,{PNG}", "trace"):
        assert part in shown["text/html"]
    assert FULL._repr_mimebundle_()["text/plain"] == "<Figure>"
