"""A context: a queue of cells and the interpreter that runs them, one at a time."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from . import kernels
from .context_cell import Cell
from .errors import BROKEN, NOT_FOUND, TOO_MANY, UNSUPPORTED, OpError
from .frames import FrameError
from .kernel_process import KernelProcess
from .kernel_spare import Spare, settling
from .kernel_start import Place, start
from .proctree import Moment
from .server import Server

__all__ = ["Context"]

MAX_QUEUED = 256
_LAST_WORDS = 2000
# Seconds that what an interrupted cell has left running has for its own end.
_LEFTOVERS_GRACE = 0.2
# What shells add to the number of a signal, for a status.
_SIGNALLED = 128
_AFTERWARDS = "; the next cell runs in a fresh interpreter, without the variables"
_FROM_INTERPRETER = ("result", "result_part", "raised")


class Context:
    """Where cells run and their variables live, in an interpreter that is started when needed.

    Attributes:
        id: names it.
        language: of its cells.
        place: where its interpreters run.
    """

    def __init__(
        self, server: Server, spare: Spare, name: str, language: str, place: Place
    ) -> None:
        self.id = name
        self.language = language
        self.place = place
        self._server = server
        self._spare = spare
        self._count = 0
        self._queue: Deque[Cell] = deque()
        self._running: Optional[Cell] = None
        self._process: Optional[KernelProcess] = None
        self._reason = ""
        self._last_signal: Optional[int] = None
        self._state_lost = False
        self._refusal = ""
        self._early = False
        self._on_ready: Optional[Callable[[Optional[OpError]], None]] = None
        self._waiters: List[Callable[[], None]] = []

    def info(self) -> Dict[str, Any]:
        """What clients are told of it."""
        return {"id": self.id, "language": self.language, "cwd": self.place.cwd}

    def start(self) -> None:
        """Have an interpreter before the first cell comes.

        Raises:
            OpError: it cannot be started as asked.
            OSError: the system has no room for it.
        """
        if self._process is None:
            kernel = kernels.find(self._server, self.language)
            early = self._spare.take(kernel, self.place)
            self._early = early is not None
            started = early or start(self._server, kernel, self.place)
            self._process = KernelProcess(
                self._server, kernel, self.place, started, self._received, self._ended
            )
            if early is not None:
                self._process.feed.send(settling(self._server, kernel, self.place))

    def when_ready(self, done: Callable[[Optional[OpError]], None]) -> None:
        """Start an interpreter, and call ``done(error)`` when it is ready or cannot be.

        Raises:
            OpError: it cannot be started as asked.
            OSError: the system has no room for it.
        """
        self.start()
        self._on_ready = done

    def prepare_another(self) -> None:
        """Have an interpreter like this one ready for the next context."""
        self._spare.prepare(kernels.find(self._server, self.language), self.place)

    def submit(self, cell: Cell) -> None:
        """Run a cell when those before it are over.

        Raises:
            OpError: there are too many.
        """
        if len(self._queue) >= MAX_QUEUED:
            raise OpError(TOO_MANY, f"more than {MAX_QUEUED} cells wait in context {self.id}")
        self._queue.append(cell)
        self._next()

    def ignore(self, cell: Cell) -> None:
        """Wait for its client no more; do not begin it."""
        if cell in self._queue:
            self._queue.remove(cell)
            self._finish(cell)
        elif cell is self._running and self._process is not None:
            cell.ignored = True
            self._process.feed.impatient = True
            self._process.feed.pump()

    def drop(self, cell: Cell) -> None:
        """Nobody wants it any more: stop it, or do not begin it."""
        self.ignore(cell)
        if cell is self._running:
            self._stop(cell)

    def restart(self, done: Callable[[], None]) -> None:
        """End the interpreter and what it started; waiting cells run in a new one."""
        self._end("the context was restarted", done)

    def remove(self, done: Callable[[], None]) -> None:
        """End the interpreter and what it started; waiting cells fail."""
        waiting, self._queue = self._queue, deque()
        for cell in waiting:
            cell.stream.error(NOT_FOUND, f"context {self.id} was removed")
        self._end("the context was removed", done)

    def kill_without_waiting(self) -> None:
        """End everything of it, for an agent that is about to exit."""
        if self._process is not None:
            self._process.kill_without_waiting()

    # -- cells --

    def _next(self) -> None:
        """Begin the next cell, if nothing hinders it."""
        while self._running is None and self._queue:
            if self._process is not None and self._process.ending:
                return
            cell = self._queue.popleft()
            try:
                self.start()
            except (OpError, OSError) as error:
                cell.stream.fail(error)
                continue
            self._begin(cell)

    def _begin(self, cell: Cell) -> None:
        process = self._process
        assert process is not None
        self._running = cell
        self._count += 1
        cell.state_lost, self._state_lost = self._state_lost, False
        cell.moment = Moment.now()
        process.feed.send({"code": cell.code, "number": self._count, "env": cell.env})
        if cell.timeout is not None:
            cell.timer = self._server.loop.call_later(cell.timeout, lambda: self._time_is_up(cell))
        if process.ready:
            process.feed.attach(cell.stream)

    def _time_is_up(self, cell: Cell) -> None:
        if self._process is not None and self._process.feed.next_event == "done":
            return  # it was in time, and only its client is late
        cell.timed_out = True
        self._stop(cell)

    def _stop(self, cell: Cell) -> None:
        """Interrupt it, and if it does not mind that, kill the interpreter."""
        if cell.stopping or self._process is None:
            return
        cell.stopping = True
        cell.cancel_timer()
        cell.timer = self._server.loop.call_later(cell.grace, self._process.kill)
        if cell.begun:
            self._process.interrupt()

    def _received(self, message: Dict[str, Any]) -> None:
        cell, process = self._running, self._process
        event = message.get("event")
        if event == "ready":
            self._tell_ready(None)
        elif event == "unsupported":
            self._refusal = str(message.get("why"))
        if cell is None or process is None:
            return
        if event == "ready":
            # What it wrote before says why it did not start, if it does not.
            process.feed.attach(cell.stream, cell.ignored)
        elif event == "begun":
            cell.begun = True
            if cell.stopping:
                process.interrupt()
        elif event == "done":
            cell.exit_code = _status(message)
            self._done(cell, process)
        elif event == "ending":
            self._ending(cell, message)
        elif event in _FROM_INTERPRETER:
            try:
                cell.show(message)
            except FrameError:
                process.kill()

    def _tell_ready(self, error: Optional[OpError]) -> None:
        done, self._on_ready = self._on_ready, None
        if done is not None:
            done(error)

    def _ending(self, cell: Cell, message: Dict[str, Any]) -> None:
        """The driver is about to end, and says why; a status of its own is no failure."""
        cell.exit_code = _status(message)
        why = message.get("why")
        if why is None:
            cell.ends_context = True
            return
        self._reason = str(why) + _AFTERWARDS
        if cell.exit_code is not None and cell.exit_code > _SIGNALLED:
            self._last_signal = cell.exit_code - _SIGNALLED

    def _done(self, cell: Cell, process: KernelProcess) -> None:
        """The interpreter is through with it; what an interrupted one has started ends too."""

        def finish() -> None:
            if cell is self._running:
                self._finish(cell)
                self._next()

        cell.cancel_timer()
        if cell.stopping and not process.ending:
            process.end_younger(cell.moment, _LEFTOVERS_GRACE, finish)
        else:
            finish()

    def _finish(self, cell: Cell) -> None:
        cell.cancel_timer()
        if cell is self._running:
            self._running = None
            if self._process is not None:
                self._process.feed.attach(None)
        cell.stream.result(
            {
                "context": self.id,
                "execution_count": self._count,
                "timed_out": cell.timed_out,
                "restarted": cell.state_lost,
                "exit_code": cell.exit_code,
            }
        )

    # -- the interpreter's end --

    def _end(self, reason: str, done: Callable[[], None]) -> None:
        if self._process is None:
            self._state_lost = False
            done()
            return
        self._reason = reason
        self._waiters.append(done)
        self._process.kill()

    def _ended(self) -> None:
        """Nothing of the interpreter is left, and what it wrote was sent."""
        process, self._process = self._process, None
        assert process is not None
        cell, self._running = self._running, None
        reason, self._reason = self._reason, ""
        number, self._last_signal = self._last_signal, None
        if self._early and not (process.ready or reason or (cell is not None and cell.stopping)):
            process.feed.close()
            self._start_anew(cell)
            return
        if cell is None:
            self._state_lost = not reason and process.ready
        elif process.ready or reason or cell.stopping:
            cell.state_lost = True
            if not cell.timed_out and not cell.ends_context:
                if not reason:
                    reason, number = process.how_it_ended() + _AFTERWARDS, process.last_signal
                cell.show(_death(reason, number))
            self._finish(cell)
        else:
            cell.cancel_timer()
            cell.stream.fail(self._why_not(process))
        self._tell_ready(self._why_not(process))
        process.feed.close()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter()
        self._next()

    def _start_anew(self, cell: Optional[Cell]) -> None:
        """The one that was made early has died just as it was taken, so it is no use to anybody."""
        if cell is not None:
            cell.cancel_timer()
            self._count -= 1
            self._state_lost = cell.state_lost
            self._queue.appendleft(cell)
        elif self._on_ready is not None:
            try:
                self.start()
            except (OpError, OSError) as error:
                self._tell_ready(OpError.of(error) if isinstance(error, OSError) else error)
        self._next()

    def _why_not(self, process: KernelProcess) -> OpError:
        """Why no cell could be run."""
        if self._refusal:
            return OpError(UNSUPPORTED, self._refusal)
        words = process.feed.last_words(_LAST_WORDS)
        return OpError(BROKEN, f"{process.how_it_ended()} as it started: {words}")


def _status(message: Dict[str, Any]) -> Optional[int]:
    code = message.get("exit_code")
    return code if type(code) is int and 0 <= code <= 255 else None


def _death(how: str, number: Optional[int]) -> Dict[str, Any]:
    message = {"event": "raised", "name": "ContextDied", "value": how, "traceback": ""}
    return message if number is None else {**message, "signal": number}
