"""A backend of matplotlib that hands figures to the cell. Loaded by matplotlib alone."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends import backend_agg
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import figures

__all__ = ["FigureCanvas", "flush", "new_figure_manager", "new_figure_manager_given_figure", "show"]

FigureCanvas = FigureCanvasAgg

_drawn = False


def new_figure_manager(num: int, *args: Any, FigureClass: Any = Figure, **kwargs: Any) -> Any:  # noqa: N803 - matplotlib's name
    """What matplotlib calls to make a figure."""
    return new_figure_manager_given_figure(num, FigureClass(*args, **kwargs))


def new_figure_manager_given_figure(num: int, figure: Any) -> Any:
    """What matplotlib calls for a figure that is there already."""
    global _drawn
    # Without interactive mode, figures are shown when the user says so.
    _drawn = _drawn or mpl.is_interactive()
    return backend_agg.new_figure_manager_given_figure(num, figure)


def show(*_args: Any, **_options: Any) -> None:
    """``pyplot.show``: show all figures now, and close them."""
    try:
        for manager in Gcf.get_all_fig_managers():
            figures.show(manager.canvas.figure)
    finally:
        Gcf.destroy_all()


def flush() -> None:
    """Show what was drawn since the last time."""
    global _drawn
    if _drawn:
        _drawn = False
        show()
