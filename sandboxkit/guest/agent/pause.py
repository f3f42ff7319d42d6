"""What the agent does before everything in the sandbox is frozen, itself included, and after."""

from __future__ import annotations

from typing import Callable

from .server import Server


class Pause:
    """Lets the agent's time stand still, so that no timer runs out, and tells every client.

    Args:
        server: of the agent.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def begin(self, if_idle: bool, done: Callable[[bool], None]) -> None:
        """Get ready to be frozen.

        Args:
            if_idle: do so only if nothing is in progress.
            done: called with whether, once every client that reads has been told.
        """
        if if_idle and self._server.idle.busy:
            done(False)
            return
        self._server.loop.stop_clock()
        waiting = self._server.announce({"event": "paused"})
        left = len(waiting) + 1

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                done(True)

        for connection in waiting:
            connection.when_written(one_less)
        one_less()

    def end(self) -> None:
        """Go on."""
        self._server.loop.start_clock()
        self._server.idle.restart()
        self._server.announce({"event": "resumed"})
