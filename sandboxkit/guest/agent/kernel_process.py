"""The agent's hold on one driver: its messages, its tree, its end."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any, Callable, Dict, Optional

from .kernel_feed import Feed
from .kernel_start import Place, Started
from .kernels import Kernel
from .proctree import Moment, Tree, TreeSince
from .server import Server
from .tree import TreeKill

__all__ = ["KernelProcess"]


class KernelProcess:
    """A running driver. When it ends, for whatever reason, its whole tree is ended too.

    Args:
        server: of the agent.
        kernel: what it is.
        place: where it runs.
        started: what was made of it.
        on_message: called with each of its messages.
        on_end: called when nothing of it is left and all it wrote was passed on.

    Attributes:
        feed: what it prints and says.
        ready: whether it has said so.
        ending: whether it is being killed, or has died.
    """

    def __init__(
        self,
        server: Server,
        kernel: Kernel,
        place: Place,
        started: Started,
        on_message: Callable[[Dict[str, Any]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.ready = False
        self._pid = started.pid
        self._takes_interrupts = kernel.takes_interrupts
        self._loop = server.loop
        self._acting = server.acting(place.account)
        self._on_message = on_message
        self._on_end = on_end
        self._status: Optional[int] = None
        self._kill: Optional[TreeKill] = None
        self._tree_ended = False
        self._tree = Tree(
            started.pid,
            started.mark,
            lambda: self._status is not None,
            server.acting_as,
        )
        self.feed = Feed(server.loop, started.channel, started.output, self._received, self.kill)
        server.on_exit(started.pid, self._reaped)

    @property
    def ending(self) -> bool:
        """Whether it can run no more cells."""
        return self._kill is not None

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to it and to what it runs in its process group."""
        # Those of its group that are another user's by now are left alone.
        with contextlib.suppress(OSError), self._acting:
            os.killpg(self._pid, signal.SIGINT)
        if self._takes_interrupts:
            self.feed.send({"do": "interrupt"})

    def kill(self) -> None:
        """End its whole tree at once. Idempotent."""
        if self._kill is None:
            self._kill = TreeKill(self._loop, self._tree, 0.0, self._tree_is_gone)

    def end_younger(self, moment: Moment, grace: float, done: Callable[[], None]) -> None:
        """End what it has started since `moment`, but not itself; then call `done`."""
        part = TreeSince(self._tree, moment)
        TreeKill(self._loop, part, grace, lambda _left: done())

    def kill_without_waiting(self) -> None:
        """The same, for an agent that has no time to see it end."""
        # It looks as far as it has descriptors to look with.
        with contextlib.suppress(OSError):
            for pid in self._tree.members():
                self._tree.send(pid, signal.SIGKILL)

    @property
    def last_signal(self) -> Optional[int]:
        """The signal that ended it, if one did."""
        status = self._status
        return None if status is None or not os.WIFSIGNALED(status) else os.WTERMSIG(status)

    def how_it_ended(self) -> str:
        """For people to read."""
        status = self._status
        if status is None:
            return "the interpreter was ended, and its status is not known"
        number = self.last_signal
        if number is None:
            return f"the interpreter exited with status {os.WEXITSTATUS(status)}"
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "unknown"
        return f"the interpreter was ended by signal {number} ({name})"

    def _received(self, message: Dict[str, Any]) -> None:
        if message.get("event") == "ready":
            self.ready = True
        self._on_message(message)

    def _reaped(self, status: int) -> None:
        self._status = status
        # Children that lived on would hold what it had open, and nobody could reach them.
        self.kill()
        self._settle()

    def _tree_is_gone(self, _left: int) -> None:
        self._tree_ended = True
        self._settle()

    def _settle(self) -> None:
        if self._tree_ended and self._status is not None:
            self.feed.end(self._on_end)
