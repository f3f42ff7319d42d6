"""The programs that run cells: one process each, on the other end of a context's channel.

What they import is the standard library; `OPTIONAL` are those that need what not every template
has, and are imported only where it is there.
"""

from __future__ import annotations

__all__ = ["OPTIONAL"]

OPTIONAL = frozenset({"figure_backend", "ipython_shell", "ipython_shortcuts", "jupyter"})
"""Modules of this package that import more than the standard library."""
