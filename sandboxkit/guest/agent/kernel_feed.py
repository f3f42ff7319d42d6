"""What an interpreter prints and says, passed on in the order in which it came about."""

from __future__ import annotations

import socket
from typing import Any, Callable, Dict, Optional, Tuple

from . import frames
from .drivers.channel import HEADER, encode
from .loop import READABLE, WRITABLE, Loop
from .pipes import Output
from .stream import Stream

__all__ = ["Feed"]

Message = Dict[str, Any]

_CHANNELS = (frames.STDOUT, frames.STDERR)
_READ_SIZE = 262_144
#: Bytes read beyond those sent, while a cell runs.
_BACKLOG = 262_144


class Feed:
    """The agent's ends of an interpreter's channel and output.

    Before a message is passed on, all output is sent that was written before it. While no cell
    runs, output is kept for the next one, the last MiB of it.

    Args:
        loop: the reactor.
        channel: a connected socket; owned from now on.
        output: read ends of stdout and stderr; owned from now on.
        on_message: called with each message.
        on_violation: called when what came was none.

    Attributes:
        stream: of the running cell, or ``None``.
        impatient: whether what the stream does not take at once is thrown away, as it is when the
            stream has ended.
    """

    def __init__(
        self,
        loop: Loop,
        channel: socket.socket,
        output: Tuple[int, int],
        on_message: Callable[[Message], None],
        on_violation: Callable[[], None],
    ) -> None:
        channel.setblocking(False)
        self.stream: Optional[Stream] = None
        self.impatient = False
        self._loop = loop
        self._channel = channel
        self._fd = channel.fileno()
        self._on_message = on_message
        self._on_violation = on_violation
        self._on_end: Optional[Callable[[], None]] = None
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._message: Optional[Message] = None
        self._marks = [0, 0]
        self._positions = [0, 0]
        self._outputs = [Output(loop, fd, self.pump) for fd in output]
        self._hung_up = False
        self._watch()

    @property
    def next_event(self) -> Any:
        """What the message is that cannot be passed on yet, if there is one."""
        return None if self._message is None else self._message.get("event")

    def send(self, message: Message) -> None:
        """Send a request to the interpreter."""
        if not self._hung_up:
            self._outgoing += encode(message)
            self._write()

    def attach(self, stream: Optional[Stream], impatient: bool = False) -> None:
        """Pass output on to this stream from now on; ``None`` keeps it."""
        self.stream = stream
        self.impatient = impatient
        for output in self._outputs:
            output.set_limit(None)
        if stream is not None:
            stream.on_writable = self.pump
            self.pump()

    def end(self, done: Callable[[], None]) -> None:
        """The interpreter and all its children are gone: pass on what is left, then call `done`."""
        while not self._hung_up and self._read():
            pass
        self._hang_up()
        self._on_end = done
        self._mark()
        self.pump()

    def close(self) -> None:
        """Let go of all descriptors. Idempotent."""
        self._hang_up()
        self._incoming.clear()
        self._message = None
        for output in self._outputs:
            output.close()

    def last_words(self, most: int) -> str:
        """The end of what stands in standard error and was not sent, in at most `most` bytes."""
        self._outputs[1].read_now()
        ring = self._outputs[1].ring
        start = max(self._positions[1], ring.start, ring.end - most)
        words = b""
        while start + len(words) < ring.end:
            words += ring.piece(start + len(words), most)
        return words.decode("utf-8", "replace").strip()

    # -- passing on --

    def pump(self) -> None:
        """Pass on what there is and what the stream takes."""
        while True:
            for index in (0, 1):
                self._send_output(index)
            if self._message is None and not self._next_message():
                break
            if not self._may_pass():
                break
            message, self._message = self._message, None
            if message is not None:
                self._on_message(message)
        if self._on_end is not None and self._message is None and self._may_pass():
            done, self._on_end = self._on_end, None
            done()
        self._watch()

    def _send_output(self, index: int) -> None:
        stream, output = self.stream, self._outputs[index]
        if stream is None:
            return
        ring = output.ring
        position = max(self._positions[index], ring.start)
        while position < ring.end:
            room = stream.room(_CHANNELS[index])
            if not room:
                break
            piece = ring.piece(position, min(room, frames.MAX_DATA))
            stream.data(_CHANNELS[index], piece)
            position += len(piece)
        if self.impatient or stream.ended:
            position = ring.end
        self._positions[index] = position
        ring.trim(ring.end - position)
        output.set_limit(position + _BACKLOG)

    def _may_pass(self) -> bool:
        """Whether everything before the message was sent, and it can be taken."""
        stream = self.stream
        if stream is None:
            return True
        if any(at < mark for at, mark in zip(self._positions, self._marks)):
            return False
        if stream.connection.congested and not self.impatient and not stream.ended:
            stream.connection.wait_writable(stream)
            return False
        return True

    # -- the channel --

    def _mark(self) -> None:
        self._marks = [output.written() for output in self._outputs]

    def _next_message(self) -> bool:
        length = int.from_bytes(self._incoming[:HEADER], "big")
        size = HEADER + length
        if len(self._incoming) >= HEADER and length > frames.MAX_JSON:
            self._violated()
        if len(self._incoming) < size:
            return False
        body = bytes(self._incoming[HEADER:size])
        del self._incoming[:size]
        try:
            self._message = frames.decode_json(body)
        except frames.FrameError:
            self._violated()
            return False
        self._mark()
        return True

    def _violated(self) -> None:
        self._incoming.clear()
        self._hang_up()
        self._on_violation()

    def _watch(self) -> None:
        """Read while there is nothing complete to pass on, so that the interpreter waits too."""
        if self._hung_up:
            return
        events = WRITABLE if self._outgoing else 0
        if self._message is None:
            events |= READABLE
        if events:
            self._loop.watch(self._fd, events, self._on_ready)
        else:
            self._loop.unwatch(self._fd)

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._write()
        if events & ~WRITABLE and not self._hung_up and self._message is None:
            self._read()
        self.pump()

    def _read(self) -> bool:
        try:
            data = self._channel.recv(_READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            # Its end, if this is it, is seen by reaping it.
            self._hang_up()
            return False
        self._incoming += data
        return True

    def _write(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._channel.send(self._outgoing, socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()
        self._watch()

    def _hang_up(self) -> None:
        if not self._hung_up:
            self._hung_up = True
            self._loop.unwatch(self._fd)
            self._channel.close()
