"""The program of one Python context: runs cells that the agent sends, one after another.

Either forked from the agent (`run`) or started by any Python 3.8 or later, of which it needs
nothing but the standard library: ``python python.py FD``, FD being a connected socket.
Standard output and error are what they are for every process, so that threads and children share
them; the socket carries requests one way, and what cells show and raise, and ``done``, the other.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from types import ModuleType
from typing import Any, Dict, Iterator, NoReturn, Optional

if not __package__:  # started as a program: be a package without making our directory importable
    __package__ = "_sandboxkit_drivers"
    _package = ModuleType(__package__)
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[__package__] = _package
    if sys.path[:1] == _package.__path__:
        del sys.path[0]

from .cell_error import describe
from .channel import Channel, encode
from .imports import on_import
from .interrupts import Interrupts
from .plain_shell import PlainShell
from .publisher import Publisher
from .settling import settle
from .streams import Streams
from .user_site import look_there

__all__ = ["EARLY", "PLAIN", "run", "run_early", "warm"]

EARLY = "early"
"""An argument that has the program wait to be told its place."""

PLAIN = "SANDBOXKIT_PLAIN"
"""A variable that, set to anything, keeps a context from using IPython."""

_warmed: Dict[str, Any] = {}


def warm() -> None:
    """Have a shell of IPython ready before contexts are forked, if that is imported already."""
    if "IPython" in sys.modules and "shell" not in _warmed:
        module = _ipython_shell()
        shell = _warmed["shell"] = module.build()
        module.rehearse(shell, *module.EVERYTHING)
        if "matplotlib" in sys.modules:
            shell.enable_figures()


def run(fd: int) -> NoReturn:
    """Serve cells from the socket `fd` until it closes, then end this process."""
    Interpreter(Channel(fd)).serve()
    os._exit(0)


def run_early(fd: int) -> NoReturn:
    """Make ready for cells, wait to be told where they run, then serve them as `run` does."""
    channel = Channel(fd)
    _rehearse()
    place = channel.receive()
    if place is not None:
        settle(place)
        Interpreter(channel).serve()
    os._exit(0)


def _rehearse() -> None:
    """Run a cell to nobody: what it needs is imported, and its memory is this process's own."""
    if os.environ.get(PLAIN) or importlib.util.find_spec("IPython") is None:
        _rehearse_alone()
        return
    module = _ipython_shell()
    if "shell" in _warmed:
        module.rehearse(_warmed["shell"], "1")  # an error would touch three times the memory
    else:
        shell = _warmed["shell"] = module.build()
        module.rehearse(shell, *module.EVERYTHING)


def _rehearse_alone() -> None:
    """Serve a cell of an agent that is not there; nothing is left of it but memory of our own."""
    import socket  # nobody waits

    ours, theirs = socket.socketpair()
    theirs.sendall(encode({"code": "print(end='')", "number": 1, "env": {}}))
    theirs.shutdown(socket.SHUT_WR)
    finders = sys.meta_path[:]
    alone = Interpreter(Channel(ours.detach()))
    alone.serve()
    alone.close()
    theirs.close()
    sys.meta_path[:] = finders
    _warmed["alone"] = alone  # its `__main__` came from the agent, whose objects must live on


class Interpreter:
    """One namespace and the connection to the agent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._agents_main = sys.modules.get("__main__")  # kept, or its objects would be finalised
        self._streams = Streams()
        self._interrupts = Interrupts()
        self._publisher = Publisher(channel, self._streams, self._interrupts)
        self._shell = _shell(self._publisher)
        on_import("matplotlib", self._shell.enable_figures)
        os.register_at_fork(after_in_child=channel.close)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def serve(self) -> None:
        """Answer requests until the agent hangs up."""
        with contextlib.suppress(OSError):  # the agent is gone
            self._publisher.send({"event": "ready"})
            for request in iter(self._channel.receive, None):
                raised = self._run(request)
                if raised is not None:
                    self._publisher.send(raised, hold=True)
                self._publisher.send({"event": "done"})

    def _run(self, request: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Run a cell; what it raised is sent when no interrupt can cut it short any more."""
        self._streams.reopen()
        self._shell.raised = None
        error: Optional[BaseException] = None
        try:
            # Between any two steps of ours one more interrupt may come, until one of these is done.
            try:
                try:
                    error = self._run_armed(request)
                finally:
                    self._interrupts.disarm()
            finally:
                self._interrupts.disarm()
        except BaseException as raised:  # noqa: BLE001 - whatever a cell raises is its result
            error = raised
        if self._publisher.in_child:
            _end_forked_child(error)
        event: Optional[Dict[str, Any]] = self._shell.raised
        return describe(error) if event is None and error is not None else event

    def _run_armed(self, request: Dict[str, Any]) -> Optional[BaseException]:
        with _environment(request["env"]):
            try:
                self._interrupts.arm()
                self._publisher.send({"event": "begun"})  # from now on it can be interrupted
                error: Optional[BaseException] = self._shell.run(request["code"], request["number"])
            finally:
                self._streams.flush()
                self._interrupts.disarm()
        return error


def _shell(publisher: Publisher) -> Any:
    """IPython's, where the template has it, else ours; with a new `__main__`."""
    shell = _warmed.get("shell")
    if os.environ.get(PLAIN):
        shell = None
    elif shell is None and importlib.util.find_spec("IPython") is not None:
        shell = _ipython_shell().build()
    if shell is None:
        main = new_main()
        shell = PlainShell(main.__dict__, publisher)
    else:
        shell.publisher = publisher
        main = shell.user_module
        on_import("pandas", shell.enable_frames)
    sys.modules["__main__"] = main
    sys.argv = [""]
    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
    look_there()
    return shell


def _ipython_shell() -> ModuleType:
    return importlib.import_module(f"{__package__}.ipython_shell")


def new_main() -> ModuleType:
    """A `__main__` for the cells, so that what they define can be pickled."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
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
    (run_early if sys.argv[2:] == [EARLY] else run)(int(sys.argv[1]))
