"""Starts a driver: forked from the agent, or a program of the sandbox."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
from typing import Callable, Dict, NamedTuple, NoReturn, Optional, Tuple

from .accounts import Account
from .drivers.settling import set_environment
from .kernels import FD, Kernel
from .libc import close_range, prctl
from .mark import marking
from .pipes import make_pipe
from .server import Server
from .spawn import Command, directory, raised_oom_score, spawn

__all__ = ["Place", "Started", "start"]

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_BROKEN_STATUS = 70


class Place(NamedTuple):
    """Where a driver runs.

    Attributes:
        cwd: absolute.
        env: what was asked for beyond the sandbox's variables.
        account: who runs it.
    """

    cwd: str
    env: Dict[str, str]
    account: Account


class Started(NamedTuple):
    """What is known of a driver as it is made.

    Attributes:
        mark: of its tree; ``None`` if it has none.
        channel: our end, for its messages.
        output: read ends of its stdout and stderr.
    """

    pid: int
    mark: Optional[int]
    channel: socket.socket
    output: Tuple[int, int]

    def close(self) -> None:
        """Let go of our ends; it has ended, or is about to."""
        self.channel.close()
        for fd in self.output:
            os.close(fd)


def start(server: Server, kernel: Kernel, place: Place) -> Started:
    """Start one in a session of its own. It is a child: see `Server.on_exit`.

    Raises:
        OpError: ``no_such_cwd``, ``no_such_user``.
        OSError: no more processes, descriptors, memory.
    """
    env = server.environment(place.account, place.env)
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        # Pipes made by the user are the user's: /dev/stdout can be opened again.
        with server.acting(place.account):
            pipes = [make_pipe(), make_pipe()]
        for read_end, write_end in pipes:
            ours.callback(os.close, read_end)
            theirs.callback(os.close, write_end)
        channel, far_end = socket.socketpair()
        ours.callback(channel.close)
        theirs.callback(far_end.close)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        theirs.callback(os.close, nothing)
        fds = {0: nothing, 1: pipes[0][1], 2: pipes[1][1], FD: far_end.fileno()}
        with marking() as mark:
            if kernel.entry is None:
                pid = spawn(server, Command([*kernel.argv], place.cwd, env, place.account), fds)
            else:
                pid = _fork(server, kernel.entry, place, env, fds)
        ours.pop_all()
    return Started(pid, mark, channel, (pipes[0][0], pipes[1][0]))


def _fork(
    server: Server,
    entry: Callable[[int], NoReturn],
    place: Place,
    env: Dict[str, str],
    fds: Dict[int, int],
) -> int:
    agent = os.getpid()
    with raised_oom_score(), server.acting(place.account, real=True), directory(place.cwd):
        pid = os.fork()
        if not pid:
            try:
                _become_driver(agent, entry, env, fds)
            finally:
                os._exit(_BROKEN_STATUS)
    return pid


def _become_driver(
    agent: int, entry: Callable[[int], NoReturn], env: Dict[str, str], fds: Dict[int, int]
) -> NoReturn:
    """The rest of the forked child's life. Memory score, user and directory are set already."""
    # The agent's objects stay alive, or their ends would close descriptors that are others' now.
    gc.freeze()
    _reset_signals()
    os.setsid()
    _give_up_the_agents_rights()
    prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != agent:  # it died before it was agreed on
        os._exit(_BROKEN_STATUS)
    _take_descriptors(fds)
    set_environment(env)
    _reseed()
    _hide_parents()
    entry(FD)


def _reset_signals() -> None:
    # Not by the functions of `signal`, which make an enumeration's member of each answer.
    _signal.set_wakeup_fd(-1)
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            with contextlib.suppress(OSError, ValueError):
                _signal.signal(number, _signal.SIG_DFL)
    # As Python itself begins.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _give_up_the_agents_rights() -> None:
    """Without exec the saved ids, with which it could become the agent again, would remain."""
    uid, gid = os.getuid(), os.getgid()
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _take_descriptors(fds: Dict[int, int]) -> None:
    """Have these, at their numbers, from 0 on, and no others."""
    # Copied out of the way first, so that none overwrites one that is still to be copied.
    for there, here in {there: _copy_above(here) for there, here in fds.items()}.items():
        os.dup2(here, there, inheritable=there <= 2)
    if close_range(len(fds)):
        return
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in fds:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _hide_parents() -> None:
    """Let the code import the real packages of these names, of which only ours may be here."""
    parts = __name__.split(".")[:-2]
    for number in range(1, len(parts) + 1):
        sys.modules.pop(".".join(parts[:number]), None)


def _copy_above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FD + 1)


def _reseed() -> None:
    """Let no two forks draw the same numbers; `random` sees to itself."""
    tempfile, ssl = sys.modules.get("tempfile"), sys.modules.get("ssl")
    if tempfile is not None:
        tempfile.__dict__["_name_sequence"] = None
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 32.0)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # Its own way to a seed takes sixty times as long.
        numpy_random.seed(memoryview(os.urandom(32)).cast("I").tolist())
