"""Runs cells where the template has no IPython, in a way that looks the same."""

from __future__ import annotations

import builtins
from typing import Any, Dict, NoReturn, Optional

from .cell import CellRunner
from .extras import is_a, with_extras
from .figures import Figures, rendered
from .mime import encoded, mime_bundle
from .publisher import Publisher

__all__ = ["PlainShell"]


class PlainShell:
    """Cells of Python in one namespace.

    Attributes:
        raised: an event that says what the cell has raised, where that is known better than from
            the exception; here never.
    """

    raised: Optional[Dict[str, Any]] = None

    def __init__(self, namespace: Dict[str, Any], publisher: Publisher) -> None:
        self._publisher = publisher
        self._runner = CellRunner(namespace)
        self._figures = Figures(self._display)
        self.enable_figures = self._figures.enable
        builtins.input = _no_input
        builtins.display = self._display  # type: ignore[attr-defined]

    def run(self, source: str, number: int) -> Optional[BaseException]:
        """Run a cell; what it raises is returned, or raised if it was meant to stop everything."""
        error = None
        try:
            value = self._runner.run(source, number)
            if value is not None and not self._publisher.in_child:
                self._remember(value)
                self._publisher.show(_bundle(value), main=True)
        except BaseException as raised:  # noqa: BLE001 - whatever a cell raises is its result
            error = raised
        if not self._publisher.in_child:
            self._figures.flush()
        return error

    def _remember(self, value: Any) -> None:
        names = builtins.__dict__
        names["___"], names["__"] = names.get("__", ""), names.get("_", "")
        names["_"] = value

    def _display(self, *values: Any, **options: Any) -> None:
        """Show values in the cell, each in every form it has.

        Args:
            values: anything.
            options: ``raw=True`` if they are dictionaries of MIME types to contents.
        """
        for value in values:
            self._publisher.show(encoded(value) if options.get("raw") else _bundle(value))


def _bundle(value: Any) -> Dict[str, Any]:
    bundle = mime_bundle(value)
    if is_a(value, "matplotlib.figure", "Figure"):
        bundle.update(encoded(rendered(value)))
    return with_extras(value, bundle) if bundle else bundle


def _no_input(prompt: object = "") -> NoReturn:
    """Stands in for `input`.

    Raises:
        EOFError: always.
    """
    raise EOFError("input() cannot work here: a cell has no standard input")
