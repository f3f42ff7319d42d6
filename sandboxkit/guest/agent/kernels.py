"""Which program runs the cells of a language, and whether this sandbox has what it needs.

A kernel is a *driver*: a process that says it is ready, is sent one cell at a time, and says what
the cell shows, what it raises, and that it is done (`docs/code.md` has the messages). Python and
bash have theirs forked from the agent; JavaScript, and through `drivers/jupyter.py` every kernel
for Jupyter, are programs of the sandbox.
"""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict, NamedTuple, NoReturn, Optional, Tuple

from . import drivers
from .drivers import bash, python
from .errors import UNSUPPORTED, OpError
from .server import Server

__all__ = ["Kernel", "canonical", "find"]

JUPYTER = "jupyter:"
"""How a language's name begins that is the name of a kernel for Jupyter."""

FD = 3
"""A driver's end of the channel."""

_ALIASES = {"js": "javascript", "sh": "bash", "shell": "bash", "ts": "typescript", "py": "python"}
_NODE = "install Node.js in the template (apt-get install nodejs, or from https://nodejs.org)"


class Kernel(NamedTuple):
    """How a driver is started.

    Attributes:
        entry: called with `FD` in a fork of the agent; ``None`` if it is a program.
        argv: of the program.
        takes_interrupts: whether it reads ``{"do": "interrupt"}`` from its channel. SIGINT it gets
            in any case.
        early: the same, to be started before its place is known; it waits to be told that first.
    """

    entry: Optional[Callable[[int], NoReturn]] = None
    argv: Tuple[str, ...] = ()
    takes_interrupts: bool = False
    early: Optional[Kernel] = None


def canonical(language: str) -> str:
    """A language's one name.

    Raises:
        OpError: ``unsupported``: nobody knows it.
    """
    name = _ALIASES.get(language.lower(), language)
    if name not in _FINDERS and not name.startswith(JUPYTER):
        known = ", ".join([*sorted(_FINDERS), JUPYTER + "NAME"])
        raise OpError(UNSUPPORTED, f"no such language: {language} (there are {known})")
    return name


def find(server: Server, language: str) -> Kernel:
    """The kernel of a language, by its one name.

    Raises:
        OpError: ``unsupported``: the sandbox lacks something, and what.
    """
    if language.startswith(JUPYTER):
        return _jupyter(server, language[len(JUPYTER) :])
    return _FINDERS[language](server)


def _python(server: Server) -> Kernel:
    other = server.config.python
    if other in ("", sys.executable) and server.config.fork_python:
        return Kernel(entry=python.run, early=Kernel(entry=python.run_early))
    argv = (other or sys.executable, _driver("python.py"), str(FD))
    return Kernel(argv=argv, early=Kernel(argv=(*argv, python.EARLY)))


def _bash(server: Server) -> Kernel:
    _program(server, "bash", "install bash in the template (apt-get install bash)")
    return Kernel(entry=bash.run)


def _javascript(server: Server) -> Kernel:
    node = _program(server, "node", _NODE)
    return Kernel(argv=(node, _driver("node.js"), str(FD)))


def _typescript(server: Server) -> Kernel:
    kernel = _javascript(server)
    return kernel._replace(argv=(*kernel.argv, "typescript"))


def _jupyter(server: Server, name: str) -> Kernel:
    interpreter = server.config.python or sys.executable
    argv = (interpreter, _driver("jupyter.py"), str(FD), name)
    return Kernel(argv=argv)


def _driver(name: str) -> str:
    # Looked up now: the agent's files may have moved since it was loaded.
    return os.path.join(os.path.dirname(os.path.abspath(drivers.__file__)), name)


def _program(server: Server, name: str, hint: str) -> str:
    for directory in server.config.path.split(":"):
        path = os.path.join(directory or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise OpError(UNSUPPORTED, f"this sandbox has no {name}: {hint}")


_FINDERS: Dict[str, Callable[[Server], Kernel]] = {
    "bash": _bash,
    "javascript": _javascript,
    "python": _python,
    "typescript": _typescript,
}
