"""The driver of a bash context: one shell that is given cells, one after another.

The shell is interactive, though on no terminal: so an interrupt ends what it is doing, and not the
shell itself. A cell is a file that it sources, so that it behaves there as in a script; the cell's
variables are set for the sourcing alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from typing import Any, Dict, NoReturn, Optional, Tuple

from ..tracing import wait_until_ended
from .channel import Channel

__all__ = ["run"]

# Descriptors in the shell: where it tells a cell's status, and its errors at first.
_STATUS, _ERRORS = 8, 7
_SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i", "+m"]
# What makes an interactive shell differ from a script, and shows.
_SETTLE = (
    f"exec 2>&{_ERRORS} {_ERRORS}>&-; PS1= PS2=; unset PROMPT_COMMAND; "
    "set +H +o history; history -c; shopt -u checkwinsize\n"
)


def run(fd: int) -> NoReturn:
    """Serve cells from the socket `fd` until it closes, then end this process."""
    with contextlib.suppress(OSError):  # the agent is gone
        _serve(Channel(fd))
    os._exit(0)


def _serve(channel: Channel) -> None:
    shell = _Shell()
    channel.send({"event": "ready"})
    for request in iter(channel.receive, None):
        channel.send({"event": "begun"})
        status = shell.run(request["code"], request["env"])
        if status is None:
            channel.send(shell.how_it_ended())
            os._exit(0)
        channel.send({"event": "done", "exit_code": status})


class _Shell:
    """A bash that is told what to do line by line."""

    def __init__(self) -> None:
        commands, self._commands = os.pipe()
        self._answers, status = os.pipe()
        self._cell = 0
        self._pid = os.fork()
        if not self._pid:
            try:
                _become_bash(commands, status)
            finally:
                os._exit(127)
        os.close(commands)
        os.close(status)
        # The shell is in our group and has been interrupted too. If that was as it was about to
        # answer, it has forgotten to.
        signal.signal(signal.SIGINT, lambda _number, _frame: self._ask())
        self._tell(_SETTLE)

    def run(self, code: str, env: Dict[str, str]) -> Optional[int]:
        """Run a cell and return its status, or ``None`` if the shell has ended with it."""
        self._cell += 1
        cell = _nameless_file(code)
        try:
            # The shell and what it starts have no descriptor of ours to lose or to hold open.
            place = f"/proc/{os.getpid()}/fd/{cell}"
            self._tell(f"{_assignments(env)}. {place} </dev/null {_STATUS}>&-\n")
            self._ask()
            return self._answer()
        finally:
            os.close(cell)

    def how_it_ended(self) -> Dict[str, Any]:
        """The event that says so, once it has."""
        status = wait_until_ended(self._pid)
        if os.WIFEXITED(status):  # by `exit`, or a failure under `set -e`
            return {"event": "ending", "exit_code": os.WEXITSTATUS(status)}
        number = os.WTERMSIG(status)
        why = f"the shell was ended by signal {number} ({signal.Signals(number).name})"
        return {"event": "ending", "exit_code": 128 + number, "why": why}

    def _ask(self) -> None:
        self._tell(f"builtin echo {self._cell} $? >&{_STATUS}\n")

    def _tell(self, line: str) -> None:
        data = line.encode("utf-8", "surrogateescape")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._commands, data) :]

    def _answer(self) -> Optional[int]:
        while True:
            line = b""
            while not line.endswith(b"\n"):
                piece = os.read(self._answers, 1)
                if not piece:
                    return None
                line += piece
            cell, status = map(int, line.split())
            if cell == self._cell:  # else it was asked twice
                return status


def _become_bash(commands: int, status: int) -> None:
    """Be the shell, after a fork. Its errors go nowhere until it has settled."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for here, there in _above((commands, 0), (2, _ERRORS), (status, _STATUS), (nowhere, 2)):
        os.dup2(here, there)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(_SHELL[0], _SHELL)


def _above(*pairs: Tuple[int, int]) -> Tuple[Tuple[int, int], ...]:
    """The same pairs, the first of each copied out of the way of the second ones."""
    copies = []
    for here, there in pairs:
        copy = os.dup(here)
        while copy <= _STATUS:
            copy = os.dup(copy)
        copies.append((copy, there))
    return tuple(copies)


def _assignments(env: Dict[str, str]) -> str:
    words = []
    for name, value in env.items():
        if name.isascii() and name.isidentifier():
            words.append(f"{name}={shlex.quote(value)} ")
        else:
            os.write(2, f"bash can have no variable {name!r}\n".encode("utf-8", "backslashreplace"))
    return "".join(words)


def _nameless_file(text: str) -> int:
    """A descriptor of a file that holds the text."""
    data = text.encode("utf-8", "surrogateescape")
    fd = os.memfd_create("cell") if hasattr(os, "memfd_create") else _temporary_file()
    while data:
        data = data[os.write(fd, data) :]
    return fd


def _temporary_file() -> int:
    return os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
