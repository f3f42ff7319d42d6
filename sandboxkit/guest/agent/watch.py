"""The operation `watch`: tells what happens in a directory, as fast as its client takes it.

While the client takes nothing, nothing is read from the kernel either: its queue is the only one
that grows, and it says so when it overflows.
"""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Deque, Dict, Optional

from . import arguments, frames
from .errors import UNSUPPORTED, OpError
from .files import FileArguments
from .loop import READABLE, Loop, Timer
from .server import Server
from .stream import Message, Stream
from .treeentry import decode
from .watchfollow import Follower

#: Seconds to wait for the second half of a rename. There is no event that says it will not come.
PARTNER_WAIT = 0.02

_STEPS_AT_ONCE = 256
_ENOUGH = frames.MAX_DATA
_ROUNDS = 4


def install(server: Server) -> None:
    """Offer this operation."""

    def watch(stream: Stream, args: Message) -> None:
        common = FileArguments(server, args)
        recursive = arguments.flag(args, "recursive")
        if not os.path.isdir("/proc/self/fd"):
            raise OpError(UNSUPPORTED, "watching takes /proc, which is not mounted")
        try:
            Watch(server.loop, stream, common, recursive)
        except OSError as error:
            raise common.error(error) from error

    server.add_op("watch", watch)


class Watch:
    """One watch: what a `Follower` tells, line by line, on a stream.

    Raises:
        OSError: the directory cannot be watched.
    """

    def __init__(self, loop: Loop, stream: Stream, common: FileArguments, recursive: bool) -> None:
        self._loop = loop
        self._stream = stream
        self._common = common
        self._lines: Deque[bytes] = deque()
        self._size = 0
        self._due = False
        self._announced = False
        self._timer: Optional[Timer] = None
        self._heard = -1
        with common.acting():
            self._follower = Follower(common.raw.rstrip(b"/") or b"/", recursive, self._tell)
        stream.on_writable = self._go_on_soon
        stream.on_lost = self._on_lost
        stream.on_reset = self._on_reset
        self._go_on_soon()

    def _tell(self, kind: str, path: bytes, what: str, target: Optional[bytes]) -> None:
        change: Dict[str, str] = {"kind": kind, "path": decode(path), "type": what}
        if target is not None:
            change["target"] = decode(target)
        line = json.dumps(change, separators=(",", ":")).encode("ascii") + b"\n"
        self._lines.append(line)
        self._size += len(line)

    # -- going on -----------------------------------------------------------------------------

    def _go_on_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._due = False
        if self._stream.ended:
            return
        self._deaf()
        try:
            self._work()
        except OSError as error:
            self._fail(self._common.error(error))
        except OpError as error:
            self._fail(error)

    def _work(self) -> None:
        """Follow and send by turns until there is no room, or nothing to do, or others' turn."""
        more = True
        for _ in range(_ROUNDS):
            if not self._send():
                self._stream.connection.wait_writable(self._stream)
                return
            if self._follower.ended:
                self._stream.data(frames.MAIN, b"", fin=True)
                self._end().result({})
                return
            if not more:
                self._listen()
                return
            more = self._follow()
        self._go_on_soon()

    def _follow(self) -> bool:
        """Let the follower do a batch; false if there is nothing to do for now."""
        more = True
        with self._common.acting():
            try:
                for _ in range(_STEPS_AT_ONCE):
                    more = self._follower.step()
                    if not more or self._size >= _ENOUGH:
                        break
            finally:
                self._follower.pause()
        if self._follower.begun and not self._announced:
            self._announced = True
            self._stream.event({"event": "watching"})
        return more

    def _send(self) -> bool:
        """Send what was told, whole lines in a frame; false if there is no room for all of it."""
        while self._lines:
            room = min(self._stream.room(frames.MAIN), frames.MAX_DATA)
            batch = []
            size = 0
            while self._lines and size + len(self._lines[0]) <= room:
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            if not batch:
                return False
            self._size -= size
            self._stream.data(frames.MAIN, b"".join(batch))
        return True

    # -- waiting ------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._heard = self._follower.fd
        self._loop.watch(self._heard, READABLE, lambda _events: self._go_on())
        if not self._follower.wants_partner:
            self._forget_timer()
        elif self._timer is None:
            self._timer = self._loop.call_later(PARTNER_WAIT, self._no_partner)

    def _deaf(self) -> None:
        if self._heard >= 0:
            self._loop.unwatch(self._heard)
            self._heard = -1

    def _no_partner(self) -> None:
        self._timer = None
        self._follower.give_up_partner()
        self._go_on_soon()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the end ------------------------------------------------------------------------------

    def _on_lost(self, _clean: bool) -> None:
        self._end()

    def _on_reset(self) -> None:
        self._end().result({})

    def _fail(self, error: OpError) -> None:
        self._end().fail(error)

    def _end(self) -> Stream:
        self._deaf()
        self._forget_timer()
        self._lines.clear()
        self._follower.close()
        return self._stream
