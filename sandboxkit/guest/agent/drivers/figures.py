"""Figures of matplotlib where there is no IPython: shown and closed at the end of a cell."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Callable, Dict

__all__ = ["Figures", "show"]

_BACKEND = f"{__package__}.figure_backend"
#: matplotlib's name of a format to its MIME type.
_FORMATS = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
}

_current: Dict[str, Figures] = {}


def show(figure: Any) -> None:
    """Show a figure in the cell that runs; for the backend."""
    _current["figures"].show(figure)


class Figures:
    """Looks after what `matplotlib.pyplot` draws.

    Args:
        show: shows a value.
    """

    def __init__(self, show: Callable[[Any], None]) -> None:
        self.show = show
        _current["figures"] = self

    def enable(self) -> None:
        """Make our backend matplotlib's, unless the environment names another."""
        if not os.environ.get("MPLBACKEND"):
            matplotlib = sys.modules["matplotlib"]
            matplotlib.rcParams["backend"] = f"module://{_BACKEND}"
            matplotlib.interactive(True)

    def flush(self) -> None:
        """The cell is over: show what it has drawn, and close it."""
        backend = sys.modules.get(_BACKEND)
        if backend is not None:
            backend.flush()


def rendered(figure: Any) -> Dict[str, Any]:
    """A figure as a picture, in the format that ``rcParams["savefig.format"]`` names.

    Raises:
        BaseException: whatever drawing raises.
    """
    if not figure.axes and not figure.lines:
        return {}
    name = sys.modules["matplotlib"].rcParams["savefig.format"]
    if name not in _FORMATS:
        name = "png"
    buffer = io.BytesIO()
    figure.canvas.print_figure(
        buffer,
        format=name,
        facecolor=figure.get_facecolor(),
        edgecolor=figure.get_edgecolor(),
        dpi=figure.dpi,
        bbox_inches="tight",
    )
    content = buffer.getvalue()
    return {_FORMATS[name]: content.decode("utf-8") if name == "svg" else content}
