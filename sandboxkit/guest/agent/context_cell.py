"""A cell on its way through a context."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .loop import Timer
from .proctree import Moment
from .stream import Stream

__all__ = ["Cell"]


class Cell:
    """What a client wants to have run.

    Args:
        stream: the client's.
        code: the text.
        env: variables for this cell alone.
        timeout: seconds after which it is interrupted; ``None`` is never.
        grace: seconds after which the interpreter is killed then.

    Attributes:
        ignored: whether its client waits for nothing but its end.
        moment: when it was given to the interpreter.
        begun: whether the interpreter has said that it can be interrupted.
        stopping: whether it was, or is to be.
        timed_out: whether because of its timeout.
        state_lost: whether the context's variables were lost, before it or by it.
        exit_code: its status, where the language has one.
        ends_context: whether it has told its interpreter to end.
        timer: the timeout's, then the grace's.
    """

    def __init__(
        self, stream: Stream, code: str, env: Dict[str, str], timeout: Optional[float], grace: float
    ) -> None:
        self.stream = stream
        self.code = code
        self.env = env
        self.timeout = timeout
        self.grace = grace
        self.ignored = False
        self.moment = Moment(0, 0)
        self.begun = False
        self.stopping = False
        self.timed_out = False
        self.state_lost = False
        self.exit_code: Optional[int] = None
        self.ends_context = False
        self.timer: Optional[Timer] = None

    def cancel_timer(self) -> None:
        """Let no time run out any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def show(self, message: Dict[str, Any]) -> None:
        """Send an event, or not if the client has let go and does not read either.

        Raises:
            FrameError: it is too large.
        """
        if not (self.ignored and self.stream.connection.congested):
            self.stream.event(message)
