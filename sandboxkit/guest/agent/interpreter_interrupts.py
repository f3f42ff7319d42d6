"""When SIGINT may raise inside an interpreter."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Lets SIGINT raise `KeyboardInterrupt` inside cells only, or do what the cells chose."""

    def __init__(self) -> None:
        self._handler: Any = signal.default_int_handler
        self._armed = False
        signal.signal(signal.SIGINT, _nothing)

    def arm(self) -> None:
        """A cell begins."""
        self._armed = True
        signal.signal(signal.SIGINT, self._handler)

    def disarm(self) -> None:
        """The cell is over. Does nothing the second time.

        Raises:
            KeyboardInterrupt: one came just now; the caller must disarm again.
        """
        if self._armed:
            handler = signal.signal(signal.SIGINT, _nothing)
            # It is None where something other than Python has set it.
            self._handler = signal.default_int_handler if handler is None else handler
            self._armed = False


def _nothing(_signum: int, _frame: Any) -> None:
    """Between cells. Unlike SIG_IGN it is not inherited by programs that threads start."""
