"""Starts a program.

By posix_spawn, not fork: a fork copies the page tables of everything a warmed agent has imported
and runs its after-fork handlers, which takes longer than most commands. What posix_spawn cannot
set (directory, user, memory score) the agent sets on itself for that moment; it has one thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .accounts import Account
from .errors import BAD_REQUEST, NO_SUCH_CWD, OpError
from .server import Server

#: The kernel ends what we started before it ends us.
OOM_SCORE = b"500"

_TOO_LONG = (
    "the arguments and the environment are longer than the kernel takes: "
    "131,071 bytes each, and about 2 MiB all together"
)
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
# What says something of the program, not of the machine's state.
_PROGRAM_ERRNOS = frozenset(
    (
        errno.EACCES,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELIBBAD,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.ETXTBSY,
    )
)
_Action = Tuple[Any, ...]
_SIGNALS = tuple(
    number for number in range(1, 32) if number not in (signal.SIGKILL, signal.SIGSTOP)
)


class Command(NamedTuple):
    """What to start.

    Attributes:
        argv: the program, looked for in ``env["PATH"]``, and its arguments.
        cwd: absolute.
        env: all of its variables.
        account: who runs it.
    """

    argv: List[str]
    cwd: str
    env: Dict[str, str]
    account: Account


def encode(text: str) -> bytes:
    """Text as the system takes it, whatever the locale."""
    return text.encode("utf-8", "surrogateescape")


def spawn(
    server: Server, command: Command, fds: Dict[int, int], terminal: Optional[str] = None
) -> int:
    """Start it in a session of its own; returns its pid. It is a child: see `Server.on_exit`.

    A program that cannot be run is a process that says so on its descriptor 2 and exits with 127
    or 126, as in a shell.

    Args:
        server: of the agent.
        command: what.
        fds: descriptor there to descriptor here; it has no others.
        terminal: path of what is to be its session's terminal.

    Raises:
        OpError: ``no_such_cwd``, ``no_such_user``; ``bad_request`` if it is more than fits.
        OSError: no more processes, no memory.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(raised_oom_score())
        stack.enter_context(server.acting(command.account, real=True))
        stack.enter_context(directory(command.cwd))
        actions = _actions(fds, stack)
        if terminal is not None:
            # The first terminal that the leader of a session opens is the session's. The actions
            # come after the setsid (glibc and musl), and the next one replaces the descriptor.
            actions.insert(0, (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
        try:
            return _spawn_program(command, actions)
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise OpError(BAD_REQUEST, _TOO_LONG) from error
            if error.errno not in _PROGRAM_ERRNOS:
                raise
            code = _NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE
            message = error.strerror
            if code == _NOT_FOUND and "/" not in command.argv[0]:
                message = "command not found"
            return _spawn_complaint(fds.get(2, -1), f"{command.argv[0]}: {message}\n", code)


def _spawn_program(command: Command, actions: List[_Action]) -> int:
    argv = [encode(word) for word in command.argv]
    env = {encode(name): encode(value) for name, value in command.env.items()}
    program = encode(_find(command.argv[0], command.env.get("PATH", "")))
    try:
        return _posix_spawn(program, argv, env, actions)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without its first line is for the shell, as everywhere.
    return _posix_spawn(b"/bin/sh", [b"sh", program, *argv[1:]], env, actions)


def _posix_spawn(
    program: bytes,
    argv: List[bytes],
    env: Dict[bytes, bytes],
    actions: List[_Action],
) -> int:
    return os.posix_spawn(
        program,
        argv,
        env,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_SIGNALS,
    )


def _find(name: str, path: str) -> str:
    """Where a program is.

    Raises:
        OSError: nowhere, or what is there cannot be executed.
    """
    if not name:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if "/" in name:
        return name
    seen = errno.ENOENT
    for directory in path.split(":"):
        candidate = os.path.join(directory or ".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            seen = errno.EACCES
    raise OSError(seen, os.strerror(seen))


def _spawn_complaint(stderr: int, message: str, code: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        if stderr >= 0:
            os.write(stderr, encode(message))
    finally:
        os._exit(code)


def _actions(fds: Dict[int, int], stack: contextlib.ExitStack) -> List[_Action]:
    """The copying of descriptors, none of which overwrites one still to be copied."""
    actions: List[_Action] = []
    for there, here in fds.items():
        source = here
        if here <= max(fds):
            source = fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, max(fds) + 1)
            stack.callback(os.close, source)
        actions.append((os.POSIX_SPAWN_DUP2, source, there))
    return actions


@contextlib.contextmanager
def directory(path: str) -> Iterator[None]:
    """Be in a directory for a moment.

    Raises:
        OpError: ``no_such_cwd``.
    """
    try:
        os.chdir(encode(path))
    except OSError as error:
        raise OpError(NO_SUCH_CWD, f"{path}: {error.strerror}", error.errno, path) from error
    try:
        yield
    finally:
        os.chdir("/")


class _OomScore:
    """The agent's own memory score, kept open because a non-dumpable process cannot reopen it."""

    def __init__(self) -> None:
        self.fd = -1
        self.own = b"0"

    def open(self) -> None:
        """Open it, if that is allowed."""
        with contextlib.suppress(OSError):
            self.fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self.own = os.pread(self.fd, 16, 0).strip()

    def set(self, score: bytes) -> None:
        """Change it, if that is allowed."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self.fd, score, 0)


_oom_score: Optional[_OomScore] = None


def prepare() -> None:
    """Open what `spawn` needs; before the agent becomes non-dumpable."""
    global _oom_score
    _oom_score = _OomScore()
    _oom_score.open()


@contextlib.contextmanager
def raised_oom_score() -> Iterator[None]:
    """Have for a moment the memory score of what the agent starts."""
    score = _oom_score
    if score is None or (score.own.isdigit() and int(score.own) >= int(OOM_SCORE)):
        yield
        return
    score.set(OOM_SCORE)
    try:
        yield
    finally:
        score.set(score.own)
