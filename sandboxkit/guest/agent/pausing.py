"""Pauses that a client brings about through an engine or a vendor, which tells the guest nothing.

The client tells the guest before, and again after. Should it die in between, the guest notices by
itself that it goes on: an alarm was set on the kernel's clock, which no freezing stops, so it rings
at once after a thaw that nobody has announced.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Optional

from .pause import Pause
from .server import Server
from .stream import Message, Stream

__all__ = ["install"]

_UNFROZEN = 20.0  # seconds that freezing us may take to freeze us, and more


def install(server: Server) -> None:
    """Offer the operations ``pausing`` and ``resumed``."""
    pausing = _Pausing(server)
    server.add_op("pausing", pausing.begin)
    server.add_op("resumed", pausing.end)
    signal.signal(signal.SIGALRM, pausing.alarm)


class _Pausing:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._pause = Pause(server)

    def begin(self, stream: Stream, _args: Message) -> None:
        """Tell all clients and let time stand still."""
        signal.setitimer(signal.ITIMER_REAL, _UNFROZEN)
        self._pause.begin(False, lambda _still: stream.result({}))

    def end(self, stream: Stream, _args: Message) -> None:
        """Let time go on."""
        self._go_on()
        stream.result({})

    def alarm(self, _number: int, _frame: Optional[FrameType]) -> None:
        """Called between any two steps of the agent, so it only asks to be called later."""
        self._server.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        self._pause.end()
