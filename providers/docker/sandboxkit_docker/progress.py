"""What takes long, shown on a terminal: pulls and builds."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """A line on standard error while something goes on, if that is a terminal.

    Args:
        what: goes on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._status: Any = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(self._what)
            self._status.start()
        return self

    def say(self, text: str) -> None:
        """Show how far it is."""
        if self._status is not None and text:
            from rich.markup import escape

            self._status.update(escape(f"{self._what}: {text.splitlines()[-1][:80]}"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()
