"""A process that was started for a client."""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, List, NamedTuple, Optional, Tuple

from . import arguments, frames
from .attachment import Attachment
from .errors import UNSUPPORTED, OpError
from .loop import Timer
from .pipes import Input, Output
from .proctree import Tree
from .ring import CAPACITY
from .server import Server
from .stream import Message
from .terminal import Terminal, size
from .tree import TreeKill

#: Seconds for which what a broken connection owned waits to be taken over.
LINGER = 5.0
GRACE = 0.5

# What an owner has not taken yet may not push out of the ring what may still be on its way to it.
_BACKLOG = CAPACITY - frames.WINDOW


class Born(NamedTuple):
    """What is known of a process as it is made.

    Attributes:
        mark: of its tree; ``None`` if it has none.
        output: read ends of its stdout and stderr; -1 is one that has ended.
        input: write end of its stdin, or -1.
        terminal: whether the first of these is the master side of a terminal.
        bound: whether it dies with its owner's connection.
        label: what to show of it.
    """

    pid: int
    mark: Optional[int]
    output: Tuple[int, int]
    input: int
    terminal: bool
    bound: bool
    label: str


class Process:
    """Its output, its input, its listeners and its end.

    Attributes:
        outputs: stdout and stderr.
        terminal: the first of these, if it is a terminal.
        running: whether it was not reaped yet.
        exit_event: what listeners are told when it has exited; ``None`` until then.
        exit_marks: up to which offsets it had written by then.
        terminating: how many clients wait for the end of its tree.
        ended_at: when it was reaped, on the loop's clock.
        input_received: bytes of input that its owners have sent.
    """

    def __init__(self, server: Server, born: Born, retired: Callable[[Process], None]) -> None:
        self.pid = born.pid
        self.label = born.label
        self.started = time.time()
        self.running = True
        self.code: Optional[int] = None
        self.signal: Optional[int] = None
        self.exit_event: Optional[Message] = None
        self.exit_marks = (0, 0)
        self.terminating = 0
        self.ended_at = 0.0
        self.input_received = 0
        self._loop = server.loop
        self._bound = born.bound
        self._retired = retired
        self._timed_out = False
        self._withheld = False
        self._owner: Optional[Attachment] = None
        self._held: Optional[List[int]] = None
        self._attachments: List[Attachment] = []
        self._linger: Optional[Timer] = None
        self._timeout: Optional[Timer] = None
        self._kill: Optional[TreeKill] = None
        self._kill_waiters: List[Callable[[int], None]] = []
        self._tree = Tree(born.pid, born.mark, lambda: not self.running, server.acting_as)
        first, second = born.output
        self.terminal: Optional[Terminal] = None
        if born.terminal:
            self.terminal = Terminal(self._loop, first, self._pump_all)
        self.outputs: Tuple[Output, Output] = (
            self.terminal or Output(self._loop, first, self._pump_all),
            Output(self._loop, second, self._pump_all),
        )
        self._input: Optional[Input] = None
        if born.input >= 0:
            self._input = Input(self._loop, born.input, self._input_consumed, self._input_broken)
        server.on_exit(born.pid, self._reaped)

    # -- listeners --

    def attach(self, attachment: Attachment, own: bool) -> None:
        """Let it listen; `own` lets it exert back-pressure, and the process be bound to it."""
        self._attachments.append(attachment)
        if own:
            self._release()
            if self._owner is not None:
                self._owner.stream.event({"event": "disowned"})
            self._owner = attachment
        attachment.pump()

    def detach(self, attachment: Attachment) -> None:
        """It listens no more."""
        if attachment in self._attachments:
            self._attachments.remove(attachment)
        if self._owner is attachment:
            self._owner = None
            self._set_limits()

    def let_go(self, attachment: Attachment) -> None:
        """Its client wants no more of it; if it was the owner's, the process is its own now."""
        if self._owner is attachment:
            self._bound = False
        self.detach(attachment)

    def lost(self, attachment: Attachment, clean: bool) -> None:
        """Its connection has ended."""
        was_owner = self._owner is attachment
        self.detach(attachment)
        if not was_owner:
            return
        if clean:
            self._release()
            self._end_if_bound()
            return
        # What was on its way may not have arrived: kept for whoever takes over in time.
        self._held = [max(0, position - frames.WINDOW) for position in attachment.positions]
        self._set_limits()
        self._linger = self._loop.call_later(LINGER, self._linger_over)

    def _linger_over(self) -> None:
        self._release()
        self._end_if_bound()

    def _end_if_bound(self) -> None:
        if self._bound and self.running:
            self.terminate(GRACE, lambda _left: None)

    def _release(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._held = None
        self._set_limits()

    # -- output --

    def advanced(self, attachment: Attachment) -> None:
        """It was sent something, or may be now."""
        if attachment is self._owner:
            self._set_limits()

    def _pump_all(self) -> None:
        for attachment in list(self._attachments):
            attachment.pump()

    def _set_limits(self) -> None:
        for index, output in enumerate(self.outputs):
            if self._owner is not None:
                output.set_limit(self._owner.positions[index] + _BACKLOG)
            elif self._held is not None:
                output.set_limit(self._held[index] + CAPACITY)
            else:
                output.set_limit(None)

    # -- input --

    def write_input(self, attachment: Attachment, data: bytes, fin: bool) -> None:
        """Pass on what a client sent; only the owner's counts."""
        if attachment is self._owner:
            self.input_received += len(data)
        if attachment is self._owner and self._input is not None:
            if fin and self.terminal is not None:
                data += self.terminal.end_of_input()
            self._input.write(data, fin)
        else:
            attachment.consumed(len(data))

    @property
    def takes_input(self) -> bool:
        """Whether it was given an input, and has it still."""
        return self._input is not None and not self._input.closed

    def _input_consumed(self, count: int) -> None:
        if self._owner is not None:
            self._owner.consumed(count)

    def _input_broken(self) -> None:
        for attachment in self._attachments:
            attachment.stream.event({"event": "stdin_closed"})

    # -- signals and the end --

    def control(self, attachment: Attachment, message: Message) -> None:
        """Do what a client asks for.

        Raises:
            OpError: it makes no sense.
            OSError: it is not possible.
        """
        do = message.get("do")
        if do == "signal":
            number = arguments.needed_integer(message, "signum")
            if not number < signal.NSIG:
                raise arguments.bad(f"no such signal: {number}")
            if self.running:
                self._tree.send(self.pid, number)
        elif do == "terminate":
            grace = arguments.seconds(message, "grace", GRACE)
            self.terminating += 1
            self.terminate(grace or 0.0, lambda left: self._terminated(attachment, left))
        elif do == "resize" and self.terminal is not None:
            if attachment is not self._owner:
                raise arguments.bad("only who owns it resizes its terminal")
            self.terminal.resize(size(message))
        else:
            raise OpError(UNSUPPORTED, f"cannot {do!r:.100}")

    def _terminated(self, attachment: Attachment, left: int) -> None:
        self.terminating -= 1
        attachment.stream.event({"event": "terminated", "left": left})
        self._pump_all()

    def terminate(self, grace: float, done: Callable[[int], None]) -> None:
        """End its whole tree; `done` is called with the number of survivors, 0 that is."""
        self._kill_waiters.append(done)
        if self.terminal is not None and self.running and grace > 0:
            # An interactive shell ignores SIGTERM; that its terminal goes is what ends it.
            self._tree.send(self.pid, signal.SIGHUP)
        if self._kill is None:
            self._kill = TreeKill(self._loop, self._tree, grace, self._tree_ended)
        else:
            self._kill.hasten(grace)

    def _tree_ended(self, left: int) -> None:
        self._kill = None
        waiters, self._kill_waiters = self._kill_waiters, []
        for waiter in waiters:
            waiter(left)

    def end_after(self, seconds: float, grace: float) -> None:
        """End it, as timed out, if it has not ended by then."""

        def out_of_time() -> None:
            self._timed_out = self._withheld = True
            self.terminate(grace, tree_ended)

        def tree_ended(_left: int) -> None:
            self._withheld = False
            if not self.running:
                self._publish_exit()

        self._timeout = self._loop.call_later(seconds, out_of_time)

    def _reaped(self, status: int) -> None:
        self.running = False
        self.ended_at = self._loop.time()
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
        else:
            self.code = os.WEXITSTATUS(status)
        if self._timeout is not None:
            self._timeout.cancel()
        self.exit_marks = (self.outputs[0].written(), self.outputs[1].written())
        # One that ran out of time is reported when all of its tree is gone: then nothing is left.
        if not self._withheld:
            self._publish_exit()
        self._retired(self)

    def _publish_exit(self) -> None:
        self.exit_event = {
            "event": "exited",
            "code": self.code,
            "signal": self.signal,
            "timed_out": self._timed_out,
            "oom": False,
        }
        for output in self.outputs:
            output.read_now()
        self._pump_all()

    def forget_output(self) -> None:
        """Keep no more output than listeners are still owed."""
        for output in self.outputs:
            output.ring.capacity = 0 if not self._attachments else CAPACITY
            output.ring.trim(output.ring.capacity)
