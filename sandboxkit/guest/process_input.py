"""What goes into a process: every byte once and in order, across broken connections.

After a break the guest says how much input it had received; what was still on its way is sent
again from here. A guest that does not say leaves us not knowing, and then nothing more is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable

from ..errors import TransportError
from .agent.frames import MAX_DATA, WINDOW
from .process_link import ProcessLink

__all__ = ["ProcessInput"]

KEPT = WINDOW + MAX_DATA
"""Bytes kept to be sent again: no more can be on their way, plus the piece being sent."""


class ProcessInput:
    """The writing half of a process.

    Args:
        linked: waits for the process's working link; raises `BrokenPipeError` if it has ended.
        is_open: whether the process was given an input at all.
        joins: whether others have written to it before, who do no more.

    Attributes:
        closed: the process takes no more.
        lost: nobody knows how much of what was sent has arrived.
    """

    def __init__(
        self, linked: Callable[[], Awaitable[ProcessLink]], *, is_open: bool, joins: bool = False
    ) -> None:
        self.closed = not is_open
        self.lost = False
        self._joins = joins
        self._linked = linked
        self._writing = asyncio.Lock()
        self._total = 0
        self._tail = bytearray()
        self._finished = False
        self._settling: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        """Send bytes; waits while the process does not read.

        Raises:
            BrokenPipeError: it takes no more.
            TransportError: it cannot be known how much of the input arrived.
        """
        view = memoryview(data).cast("B")
        async with self._writing:
            if self._finished:
                raise _broken_pipe()
            await self._catch_up()
            for start in range(0, len(view), MAX_DATA):
                piece = view[start : start + MAX_DATA]
                self._total += len(piece)
                self._tail += piece
                del self._tail[:-KEPT]
                await self._catch_up()

    async def finish(self) -> None:
        """Let the process see the end of its input. Idempotent.

        Raises:
            TransportError: it cannot be known how much of the input arrived.
        """
        async with self._writing:
            if self.closed or self._finished:
                return
            self._finished = True
            with contextlib.suppress(BrokenPipeError):
                await self._catch_up()

    def resumed(self, link: ProcessLink, reached: int | None) -> None:
        """A new link begins; the guest says that it had received `reached` bytes."""
        if self.closed:
            return
        if self._joins and reached is not None:
            self._total, self._joins = reached, False
        if reached is None and not self._total:
            reached = 0
        if reached is None or not self._total - len(self._tail) <= reached <= self._total:
            self.lost = True
            return
        link.input_from = reached
        if reached < self._total or self._finished:
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        # Whoever sent this may have gone on to other things long ago.
        with contextlib.suppress(BrokenPipeError, TransportError):
            async with self._writing:
                await self._catch_up()

    async def _catch_up(self) -> None:
        while True:
            link = await self._linked()
            if self.closed:
                raise _broken_pipe()
            if self.lost:
                raise TransportError(
                    "the connection broke, and nobody knows how much of the input arrived"
                )
            missing = self._total - link.input_from - link.sent
            try:
                if missing:
                    await link.send(bytes(self._tail[-missing:]))
            except TransportError:
                continue  # the process is told too, and links anew or ends
            if self._finished and not link.input_ended:
                link.input_ended = True
                link.send_end()
            return


def _broken_pipe() -> BrokenPipeError:
    return BrokenPipeError(errno.EPIPE, "the process takes no more input")
