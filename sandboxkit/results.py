"""What code produces: results in all their forms, what it printed, what it raised."""

from __future__ import annotations

import base64
import importlib
import io
import json as json_module
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import notebook
from .errors import CodeFailedError, InvalidRequestError, UnsupportedError

__all__ = ["CodeError", "Execution", "Logs", "OutputText", "Result"]

DATA = "application/vnd.sandboxkit.data+json"
CHART = "application/vnd.sandboxkit.chart+json"

FORMATS = {
    "text": "text/plain",
    "html": "text/html",
    "markdown": "text/markdown",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
    "data": DATA,
    "chart": CHART,
}
"""A result's attributes and the MIME types behind them."""

_BINARY = frozenset({"image/png", "image/jpeg", "application/pdf"})
_SUFFIXES = {
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".svg": "svg",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".pdf": "pdf",
    ".tex": "latex",
    ".json": "json",
    ".js": "javascript",
}


@dataclass(frozen=True, slots=True)
class CodeError:
    """An exception that the code raised.

    Attributes:
        name: the exception's class, such as ``ZeroDivisionError``.
        value: its message.
        traceback: as the interpreter prints it, without colours.
    """

    name: str
    value: str
    traceback: str


@dataclass(frozen=True, slots=True)
class OutputText:
    """A piece of what a cell prints, as it arrives.

    Attributes:
        stream: ``stdout`` or ``stderr``.
        text: decoded.
    """

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """One thing a cell showed, in every form it offers. A form it has not is ``None``.

    Attributes:
        mimebundle: MIME type to content: text as str, pictures and PDF in base64, JSON as objects.
        is_main_result: whether it is the value of the cell's last expression.
    """

    mimebundle: Mapping[str, Any]
    is_main_result: bool = False

    @property
    def text(self) -> str | None:
        """Plain text: what the interpreter would print; a string with its quotes."""
        return self.mimebundle.get("text/plain")

    @property
    def html(self) -> str | None:
        """HTML, as of a data frame."""
        return self.mimebundle.get("text/html")

    @property
    def markdown(self) -> str | None:
        """Markdown."""
        return self.mimebundle.get("text/markdown")

    @property
    def svg(self) -> str | None:
        """A drawing as SVG text."""
        return self.mimebundle.get("image/svg+xml")

    @property
    def png(self) -> str | None:
        """A picture as PNG in base64."""
        return self.mimebundle.get("image/png")

    @property
    def jpeg(self) -> str | None:
        """A picture as JPEG in base64."""
        return self.mimebundle.get("image/jpeg")

    @property
    def pdf(self) -> str | None:
        """A PDF document in base64."""
        return self.mimebundle.get("application/pdf")

    @property
    def latex(self) -> str | None:
        """LaTeX."""
        return self.mimebundle.get("text/latex")

    @property
    def json(self) -> Any:
        """An object of JSON: what a list or a dict is, or what the value's class makes of it."""
        return self.mimebundle.get("application/json")

    @property
    def javascript(self) -> str | None:
        """JavaScript for a page to run."""
        return self.mimebundle.get("application/javascript")

    @property
    def data(self) -> dict[str, list[Any]] | None:
        """A data frame's columns: names to lists of values."""
        return self.mimebundle.get(DATA)

    @property
    def chart(self) -> dict[str, Any] | None:
        """A figure as data: type, title, axes, points."""
        return self.mimebundle.get(CHART)

    @property
    def extra(self) -> dict[str, Any]:
        """The forms of every other MIME type."""
        known = set(FORMATS.values())
        return {mime: item for mime, item in self.mimebundle.items() if mime not in known}

    def formats(self) -> list[str]:
        """What forms there are: names of attributes, then the MIME types of `extra`."""
        named = [name for name, mime in FORMATS.items() if mime in self.mimebundle]
        return [*named, *self.extra]

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002
        """Write one form to a local file.

        Args:
            path: where; replaced if it is there.
            format: one of `formats`; ``None`` goes by the file's suffix, such as ``.png``.

        Raises:
            InvalidRequestError: the result does not have that form.
            OSError: the file cannot be written.
        """
        suffix = Path(path).suffix.lower()
        name = _SUFFIXES.get(suffix, suffix) if format is None else format
        mime = FORMATS.get(name, name)
        if mime not in self.mimebundle:
            raise InvalidRequestError(
                f"the result cannot be saved as {name or 'a file without a suffix'!r}",
                op="save",
                hint=f"it has {', '.join(self.formats())}: save(path, format=...)",
            )
        Path(path).write_bytes(_as_bytes(mime, self.mimebundle[mime]))

    def image(self) -> Any:
        """The picture as a `PIL.Image.Image`.

        Raises:
            UnsupportedError: Pillow is not installed here.
            InvalidRequestError: the result is no picture.
        """
        content = self.png or self.jpeg
        if content is None:
            raise InvalidRequestError(
                f"the result is no picture; it has {', '.join(self.formats())}", op="image"
            )
        return _needed("PIL.Image", "pillow").open(io.BytesIO(base64.b64decode(content)))

    def dataframe(self) -> Any:
        """The data as a `pandas.DataFrame`, with a new index; times are text.

        Raises:
            UnsupportedError: pandas is not installed here.
            InvalidRequestError: the result is no data frame.
        """
        if self.data is None:
            raise InvalidRequestError(
                f"the result is no data frame; it has {', '.join(self.formats())}", op="dataframe"
            )
        return _needed("pandas", "pandas").DataFrame(self.data)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return notebook.bundle([self.mimebundle])


@dataclass(frozen=True, slots=True)
class Logs:
    """What a cell printed.

    Attributes:
        stdout: all of the standard output as text.
        stderr: likewise.
    """

    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a cell of code ended, and what it produced. In a notebook it shows itself.

    Attributes:
        results: in order; at most one is the main result.
        logs: what it printed.
        error: what it raised, or ``None``.
        execution_count: how many cells the context has run, this one included.
        context: the context it ran in.
        context_restarted: whether its variables were lost: the interpreter had to be started anew.
        exit_code: the status of a bash cell, else ``None``.
        oom: whether the kernel's out-of-memory killer ended the interpreter, or in bash what the
            cell ended with.
        duration: seconds.
    """

    results: tuple[Result, ...] = ()
    logs: Logs = Logs()
    error: CodeError | None = None
    execution_count: int = 0
    context: str = ""
    context_restarted: bool = False
    exit_code: int | None = None
    oom: bool = False
    duration: float = 0.0

    @property
    def text(self) -> str | None:
        """The plain text of the main result, or ``None`` if there was none."""
        return next((result.text for result in self.results if result.is_main_result), None)

    def check(self) -> Execution:
        """Return this execution if the code did not raise, and of bash, ended with 0.

        Raises:
            CodeFailedError: it did, or did not.
        """
        if self.error is not None:
            what = f"the code raised {self.error.name}: {self.error.value}"
        elif self.exit_code:
            what = f"the code ended with exit code {self.exit_code}"
        else:
            return self
        raise CodeFailedError(what, execution=self, op="run_code")

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        trace = None if self.error is None else self.error.traceback or self.error.value
        return notebook.bundle(
            [result.mimebundle for result in self.results],
            stdout=self.logs.stdout,
            stderr=self.logs.stderr,
            traceback=trace,
        )


def _as_bytes(mime: str, content: Any) -> bytes:
    if mime in _BINARY:
        return base64.b64decode(content)
    return (content if isinstance(content, str) else json_module.dumps(content)).encode("utf-8")


def _needed(module: str, distribution: str) -> Any:
    """A library of the user's that only this needs.

    Raises:
        UnsupportedError: it is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"this needs {distribution}, which is not installed here",
            hint=f"pip install {distribution}",
        ) from error
