"""When the sandbox ends by itself."""

from __future__ import annotations

from typing import Callable, List, Optional

from . import arguments
from .loop import Loop, Timer
from .server import Server
from .stream import Message, Stream


class Lifetime:
    """A timer for the end of everything.

    Args:
        loop: the reactor.
        over: called at the end.

    Attributes:
        on_change: called with the new lifetime whenever a client sets it.
    """

    def __init__(self, loop: Loop, over: Callable[[], None]) -> None:
        self.on_change: List[Callable[[Optional[float]], None]] = []
        self._loop = loop
        self._over = over
        self._timer: Optional[Timer] = None

    def set(self, lifetime: Optional[float]) -> None:
        """End in so many seconds from now; ``None`` is never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if lifetime is not None:
            self._timer = self._loop.call_later(lifetime, self._over)

    def install(self, server: Server) -> None:
        """Offer the operation."""
        server.add_op("set_lifetime", self._op)

    def _op(self, stream: Stream, args: Message) -> None:
        lifetime = arguments.seconds(args, "lifetime")
        self.set(lifetime)
        for callback in self.on_change:
            callback(lifetime)
        stream.result({"lifetime": lifetime})
