"""A stream that listens to a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple

from . import frames
from .errors import OpError
from .stream import Message, Stream

if TYPE_CHECKING:
    from .process import Process

_CHANNELS = (frames.STDOUT, frames.STDERR)


class Attachment:
    """Sends a process's output and its exit to one stream, as fast as that takes them.

    Attributes:
        positions: offsets of the next bytes to send, of stdout and stderr.
    """

    def __init__(self, stream: Stream, process: Process, positions: Tuple[int, int]) -> None:
        self.stream = stream
        self.positions: List[int] = list(positions)
        self._process = process
        self._ended = [False, False]
        self._reported = False
        #: How many bytes of input the stream has sent that are not written yet.
        self.owed = 0
        stream.on_writable = self.pump
        stream.on_control = self._on_control
        stream.on_reset = self._on_reset
        stream.on_data = self._on_data
        stream.on_lost = lambda clean: process.lost(self, clean)

    # -- out --

    def pump(self) -> None:
        """Send what there is and what the stream takes."""
        if self.stream.ended:
            return
        for index in (0, 1):
            self._pump_channel(index)
        self._report()
        self._process.advanced(self)

    def _pump_channel(self, index: int) -> None:
        output = self._process.outputs[index]
        ring, channel = output.ring, _CHANNELS[index]
        while True:
            position = self.positions[index]
            if position < ring.start:
                self.stream.event(
                    {"event": "gap", "channel": channel, "start": position, "end": ring.start}
                )
                position = self.positions[index] = ring.start
            if position >= ring.end:
                break
            room = self.stream.room(channel)
            if not room:
                return
            piece = ring.piece(position, min(room, frames.MAX_DATA))
            self.stream.data(channel, piece)
            self.positions[index] += len(piece)
        if output.ended and not self._ended[index]:
            self._ended[index] = True
            self.stream.data(channel, b"", fin=True)

    def _report(self) -> None:
        """Say that the process has exited, once all it had written by then was sent."""
        process = self._process
        sent = all(at >= mark for at, mark in zip(self.positions, process.exit_marks))
        if not self._reported and sent and process.exit_event is not None:
            self._reported = True
            self.stream.event(process.exit_event)
        if self._reported and all(self._ended) and not process.terminating:
            process.detach(self)
            self.stream.result({"closed": True})

    # -- in --

    def _on_control(self, message: Message) -> None:
        try:
            self._process.control(self, message)
        except (OpError, OSError) as error:
            self.stream.event({"event": "refused", "do": message.get("do"), "message": str(error)})

    def _on_reset(self) -> None:
        self._process.let_go(self)
        self.stream.result({"closed": False})

    def _on_data(self, _channel: int, data: bytes, fin: bool) -> None:
        self.owed += len(data)
        self._process.write_input(self, data, fin)

    def consumed(self, count: int) -> int:
        """Give credit for up to `count` bytes of input; returns for how many."""
        count = min(count, self.owed)
        self.owed -= count
        self.stream.grant(count)
        return count
