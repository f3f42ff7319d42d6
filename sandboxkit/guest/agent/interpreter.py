"""The program of one Python context: runs cells that the agent sends, one after another.

Either forked from the agent (`run`) or started by any Python 3.8 or later, of which it needs
nothing but the standard library: ``python interpreter.py FD``, FD being a connected socket.
Standard output and error are what they are for every process, so that threads and children share
them; the socket carries requests one way, and what cells show and raise, and ``done``, the other.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import traceback
from types import ModuleType
from typing import Any, Dict, Iterator, List, NoReturn, Optional

if not __package__:  # started as a program: be a package without making our directory importable
    __package__ = "_sandboxkit_interpreter"
    _package = ModuleType(__package__)
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[__package__] = _package
    if sys.path[:1] == _package.__path__:
        del sys.path[0]

from .cell import CellRunner
from .cell_error import describe
from .cell_result import mime_bundle, result_events
from .interpreter_channel import Channel
from .interpreter_interrupts import Interrupts
from .interpreter_streams import Streams, no_input

__all__ = ["run"]

Event = Dict[str, Any]


def run(fd: int) -> NoReturn:
    """Serve cells from the socket `fd` until it closes, then end this process."""
    Interpreter(Channel(fd)).serve()
    os._exit(0)


class Interpreter:
    """One namespace and the connection to the agent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._results = 0
        self._agents_main = sys.modules.get("__main__")  # kept, or its objects would be finalised
        self._runner = CellRunner(_new_main().__dict__)
        self._streams = Streams()
        self._interrupts = Interrupts()
        builtins.input = no_input
        os.register_at_fork(after_in_child=channel.close)

    def serve(self) -> None:
        """Answer requests until the agent hangs up."""
        with contextlib.suppress(OSError):  # the agent is gone
            self._channel.send({"event": "ready"})
            for request in iter(self._channel.receive, None):
                for event in self._run(request):
                    self._channel.send(event)
                self._channel.send({"event": "done"})

    def _run(self, request: Dict[str, Any]) -> List[Event]:
        """Run a cell; what there is to say at its end, sent when no interrupt can cut it short."""
        self._streams.reopen()
        events: List[Event] = []
        error: Optional[BaseException] = None
        try:
            with _environment(request["env"]):
                try:
                    self._interrupts.arm()
                    self._channel.send({"event": "begun"})  # from now on it can be interrupted
                    events = self._evaluate(request["code"], request["number"])
                finally:
                    self._streams.flush()
                    self._interrupts.disarm()
        except BaseException as raised:  # noqa: BLE001 - whatever a cell raises is its result
            self._interrupts.disarm()
            error = raised
        if os.getpid() != self._pid:
            _end_forked_child(error)
        return events if error is None else [describe(error)]

    def _evaluate(self, source: str, number: int) -> List[Event]:
        value = self._runner.run(source, number)
        if value is None or os.getpid() != self._pid:
            return []
        builtins._ = value  # type: ignore[attr-defined]
        self._results += 1
        return list(result_events(mime_bundle(value), True, self._results))


def _new_main() -> ModuleType:
    """A `__main__` for the cells, so that what they define can be pickled."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    sys.argv = [""]
    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
    return main


@contextlib.contextmanager
def _environment(extra: Dict[str, str]) -> Iterator[None]:
    """Variables that are set for one cell."""
    before = {name: os.environ.get(name) for name in extra}
    try:
        os.environ.update(extra)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_forked_child(error: Optional[BaseException]) -> NoReturn:
    """A cell forked, and the child has come to the cell's end: end it as a script would."""
    status = 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = 0 if error.code is None else error.code & 0xFF
    elif error is not None:
        status = 1
        traceback.print_exception(type(error), error, error.__traceback__)
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run(int(sys.argv[1]))
