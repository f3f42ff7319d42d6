"""When SIGINT may raise inside an interpreter."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import _thread
import contextlib
import signal
from typing import Any, Iterator, List

__all__ = ["Interrupts"]

# Not the function of `signal`, which is Python: slower, and could be interrupted itself.
_set_handler = _signal.signal
_SIGINT = _signal.SIGINT


class Interrupts:
    """Lets SIGINT raise `KeyboardInterrupt` inside cells only, or do what the cells chose."""

    def __init__(self) -> None:
        self._handler: Any = signal.default_int_handler
        self._armed = False
        self._main = _thread.get_ident()
        _set_handler(_SIGINT, _nothing)

    def arm(self) -> None:
        """A cell begins."""
        self._armed = True
        _set_handler(_SIGINT, self._handler)

    def disarm(self) -> None:
        """The cell is over. Does nothing the second time.

        Raises:
            KeyboardInterrupt: one came just now, and the caller must disarm again; or as this
                began, so that even a second time may not be the last.
        """
        if self._armed:
            handler = _set_handler(_SIGINT, _nothing)
            # It is None where something other than Python has set it.
            self._handler = signal.default_int_handler if handler is None else handler
            self._armed = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let an interrupt that comes within the ``with`` block come after it.

        Raises:
            KeyboardInterrupt: one came, and the cell has not chosen otherwise.
        """
        if not self._armed or _thread.get_ident() != self._main:
            yield  # only the main thread is ever interrupted
            return
        late: List[int] = []
        handler = _set_handler(_SIGINT, lambda number, _frame: late.append(number))
        try:
            yield
        finally:
            _set_handler(_SIGINT, signal.default_int_handler if handler is None else handler)
            if late:
                signal.raise_signal(signal.SIGINT)


def _nothing(_signum: int, _frame: Any) -> None:
    """Between cells. Unlike SIG_IGN it is not inherited by programs that threads start."""
