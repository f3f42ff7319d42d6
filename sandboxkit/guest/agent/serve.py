"""Runs the agent: `serve` puts its pieces together and returns when the sandbox shall end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Callable, Iterable, Optional

from . import ondemand, processes, spawn, unclaimed
from .config import AgentConfig
from .libc import CLOSE_RANGE_CLOEXEC, close_range, prctl
from .lifetime import Lifetime
from .loop import Loop
from .server import Server
from .stream import Message, Stream

if TYPE_CHECKING:
    from .control import Control

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
# Seconds in which the agent that is not PID 1 ends what it started.
_LAST_BREATH = 5.0


def serve(
    config: AgentConfig,
    control: Optional[socket.socket] = None,
    listen: Optional[str] = None,
    connections: Iterable[socket.socket] = (),
    admit: Optional[Callable[[socket.socket], bool]] = None,
    ready: Optional[Callable[[], None]] = None,
    extend: Optional[Callable[[Server], None]] = None,
    settle: Optional[unclaimed.Settle] = None,
) -> None:
    """Serve until the lifetime is over or the maker is gone. The caller then exits the process.

    As PID 1 it returns at once and the kernel ends what is left; otherwise it first ends what it
    started.

    Args:
        config: the sandbox.
        control: a SOCK_SEQPACKET socket of the sandbox's maker; its end is the sandbox's end.
        listen: a path to accept clients at, on a unix socket.
        connections: clients that are connected already.
        admit: says of each client at `listen` whether it may come in.
        ready: called once clients are listened for.
        extend: adds operations that only this maker's clients know.
        settle: given if the sandbox is nobody's yet: `config` is a guess, and the maker will say
            by `control` what it is to be.

    Raises:
        OSError: `listen` cannot be listened at.
    """
    _settle_in()
    loop = Loop()
    server = Server(loop, config)
    server.unclaimed = settle is not None
    table = processes.install(server)
    groups = ondemand.install(server)
    server.add_op("ping", _ping)
    if extend is not None:
        extend(server)

    def end(reason: str) -> None:
        if line is not None:
            line.tell({"event": "ending", "reason": reason})
        if os.getpid() == 1:
            loop.stop()
        else:
            for hook in server.on_exit_hooks:
                hook()
            loop.call_later(_LAST_BREATH, loop.stop)
            table.terminate_all(loop.stop)

    def over(reason: str) -> None:
        if line is not None and server.config.on_timeout == "pause":
            line.tell({"event": "over", "reason": reason})
        else:
            end(reason)

    line: Optional[Control] = None
    lifetime = Lifetime(loop, lambda: over("lifetime"))
    lifetime.install(server)

    def count_time() -> None:
        server.idle.limit(server.config.idle_timeout, lambda: over("idle"))
        lifetime.set(server.config.lifetime)

    def take_up(order: Message) -> bool:
        assert settle is not None
        assert line is not None
        settled = unclaimed.settled(server.config, order)
        refusal = settle(settled)
        if refusal is not None:
            line.tell(refusal)
            return False
        server.settle(settled)
        count_time()
        return True

    if control is not None:
        from .control import Control  # only makers on this machine have such a socket

        line = Control(server, control, lifetime, lambda: end("maker"))
        told = line
        lifetime.on_change.append(lambda left: told.tell({"event": "lifetime", "lifetime": left}))
    if settle is None:
        count_time()
    elif line is not None:
        line.on_settle = take_up
        groups["contexts"].bring_early()
        unclaimed.rehearse(server)
    if listen is not None:
        server.listen(listen, admit)
    if control is None and listen is None:
        server.on_idle = lambda: end("alone")
    for connection in connections:
        server.accept(connection)
    if line is not None:
        line.tell({"event": "ready"})
    if ready is not None:
        ready()
    loop.run()


def _ping(stream: Stream, _args: Message) -> None:
    stream.result({})


def _settle_in() -> None:
    """Take what the agent needs of its process, and give up what it does not."""
    os.umask(0o022)
    # PID 1 is deaf to signals of its sandbox, but for those it has a handler for, as Python has.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _occupy_standard_fds()
    _close_on_exec()
    spawn.prepare()
    os.chdir("/")
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getpid() != 1:
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _occupy_standard_fds() -> None:
    """Keep 0, 1 and 2 from being given to what is opened later."""
    while True:
        try:
            fd = os.open("/dev/null", os.O_RDWR)
        except OSError:
            return
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


def _close_on_exec() -> None:
    """Let nothing the agent was given reach what it starts."""
    if close_range(3, CLOSE_RANGE_CLOEXEC):
        return
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), False)
