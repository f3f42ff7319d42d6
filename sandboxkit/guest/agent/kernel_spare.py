"""An interpreter that is ready before it is wanted.

Who makes a context often makes another. So while nobody waits, one is started that knows its user
but not its directory and its variables; it touches what the first cell will touch, whose pages a
fork has to copy first, and waits to be told the rest. There is at most one, and none where no
context was ever made; the reasons are in docs/decisions/0029-a-prepared-interpreter.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any, Dict, NamedTuple, Optional

from .kernel_start import Place, Started, start
from .kernels import Kernel
from .loop import Timer
from .server import Server

__all__ = ["Spare", "settling"]

# Seconds after the last context, so that many in a row are not held up by it. No event says that
# none follows.
QUIET = 0.05
# Seconds in which it is kept: its memory is the sandbox's.
KEPT = 60.0


class _Held(NamedTuple):
    """One that waits, and what it was started for."""

    kernel: Kernel
    place: Place
    started: Started

    def fits(self, kernel: Kernel, place: Place) -> bool:
        """Whether it can become this."""
        if (self.kernel, self.place.account) != (kernel, place.account):
            return False
        # A program has read its variables as it started.
        return kernel.entry is not None or self.place.env == place.env


class Spare:
    """At most one interpreter for the next context.

    Args:
        server: of the agent.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._held: Optional[_Held] = None
        self._timer: Optional[Timer] = None

    def take(self, kernel: Kernel, place: Place) -> Optional[Started]:
        """The one that waits, if it is of this kind; to be sent `settling` first.

        It is the caller's child now: see `Server.on_exit`.
        """
        held = self._held
        if held is None or not held.fits(kernel, place) or _has_ended(held.started.pid):
            return None
        self._held = None
        self._cancel_timer()
        return held.started

    def begin(self, kernel: Kernel, place: Place) -> None:
        """Have one of this kind now, if there is none."""
        if kernel.early is not None and self._held is None:
            self._start(kernel, place)

    def prepare(self, kernel: Kernel, place: Place) -> None:
        """Have one of this kind soon, in place of any other."""
        if kernel.early is None:
            return
        if self._held is not None and not self._held.fits(kernel, place):
            self.end()
        self._cancel_timer()
        if self._held is None:
            self._call_later(QUIET, lambda: self._start(kernel, place))
        else:
            self._call_later(KEPT, self.end)

    def end(self) -> None:
        """End it. Idempotent."""
        self._cancel_timer()
        held, self._held = self._held, None
        if held is not None:
            with contextlib.suppress(OSError), self._server.acting(held.place.account):
                os.kill(held.started.pid, signal.SIGKILL)
            held.started.close()

    def _start(self, kernel: Kernel, place: Place) -> None:
        assert kernel.early is not None
        try:
            started = start(self._server, kernel.early, place._replace(cwd="/"))
        except OSError:
            return  # no room for one that nobody has asked for
        self._held = _Held(kernel, place, started)
        self._server.on_exit(started.pid, lambda _status: self._ended(started))
        self._call_later(KEPT, self.end)

    def _ended(self, started: Started) -> None:
        if self._held is not None and self._held.started is started:
            self._held = None
            self._cancel_timer()
            started.close()

    def _call_later(self, seconds: float, callback: Any) -> None:
        self._cancel_timer()
        self._timer = self._server.loop.call_later(seconds, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def settling(server: Server, kernel: Kernel, place: Place) -> Dict[str, Any]:
    """What an interpreter that was started early is told, before anything else."""
    forked = kernel.entry is not None
    env = server.environment(place.account, place.env) if forked else None
    return {"cwd": place.cwd, "env": env}


def _has_ended(pid: int) -> bool:
    """Whether a child has, though nobody has reaped it yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
