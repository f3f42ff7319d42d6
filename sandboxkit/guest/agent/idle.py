"""Whether the sandbox is in use, and what happens once it was not for long."""

from __future__ import annotations

from typing import Callable, Optional

from .loop import Loop, Timer


class Idle:
    """Counts operations in progress; every open stream of every client is one.

    What was started and let go of does not count, nor does a client that asks for nothing.

    Args:
        loop: the reactor.

    Attributes:
        busy: how many operations are in progress.
    """

    def __init__(self, loop: Loop) -> None:
        self.busy = 0
        self._loop = loop
        self._patience: Optional[float] = None
        self._over: Callable[[], None] = lambda: None
        self._timer: Optional[Timer] = None

    def limit(self, seconds: Optional[float], over: Callable[[], None]) -> None:
        """Call `over` when nothing was in progress for `seconds`; ``None`` is never."""
        self._patience, self._over = seconds, over
        self.restart()

    def begin(self) -> None:
        """An operation begins."""
        self.busy += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """An operation has ended."""
        self.busy -= 1
        self.restart()

    def restart(self) -> None:
        """Begin to count idle time, unless the sandbox is in use."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.busy and self._patience is not None:
            self._timer = self._loop.call_later(self._patience, self._over)
