"""The agent's middle: connections on one side, operations on the other."""

from __future__ import annotations

import os
import socket
from typing import Any, Callable, Dict, List, Optional

from . import accounts, frames
from .accounts import Account
from .config import AgentConfig
from .connection import Connection
from .errors import NO_SUCH_USER, UNSUPPORTED, OpError
from .idle import Idle
from .loop import READABLE, Loop
from .stream import Message, Stream
from .tracing import was_only_held

#: What an operation is: see `Stream`.
Handler = Callable[[Stream, Message], None]

MAX_CONNECTIONS = 256
_NO_DESCRIPTORS_PAUSE = 0.2


class Server:
    """Hands the streams of clients to operations, and dead children to those who wait for them.

    A module that offers operations has a function ``install(server)`` which calls `add_op` for
    each, and `add_feature` with the name clients know the lot by.

    Attributes:
        loop: the reactor; use it for descriptors and timers.
        config: what the sandbox's maker said.
        idle: told of every operation in progress.
        on_exit_hooks: called before an agent that is not PID 1 exits, to end what it started.
        on_idle: called when the last connection has closed.
        unclaimed: whether the sandbox is nobody's yet.
    """

    def __init__(self, loop: Loop, config: AgentConfig) -> None:
        self.loop = loop
        self.config = config
        self.idle = Idle(loop)
        self.on_exit_hooks: List[Callable[[], None]] = []
        self.on_idle: Optional[Callable[[], None]] = None
        self.unclaimed = False
        self._ops: Dict[str, Handler] = {}
        self._features: List[str] = []
        self._connections: Dict[Connection, None] = {}
        self._children: Dict[int, Callable[[int], None]] = {}
        self._default_account: Optional[Account] = None
        self._has_bash = False
        loop.watch_children(self._reap)

    def settle(self, config: AgentConfig) -> None:
        """The sandbox is somebody's from now on, who wants it so."""
        self.config = config
        self.unclaimed = False
        self._default_account = None

    # -- operations --

    def add_op(self, name: str, handler: Handler) -> None:
        """Serve the operation `name`."""
        self._ops[name] = handler

    def add_feature(self, name: str) -> None:
        """Tell clients of it in the hello."""
        if name not in self._features:
            self._features.append(name)

    def open(self, stream: Stream, arguments: Message) -> None:
        """Begin what the client asks for on a new stream."""
        try:
            op = arguments.get("op")
            handler = self._ops.get(op) if isinstance(op, str) else None
            if handler is None:
                raise OpError(UNSUPPORTED, f"no such operation: {op!r:.100}")
            handler(stream, arguments)
        except (OpError, OSError) as error:
            stream.fail(error)

    def hello(self) -> Message:
        """What the guest says of itself."""
        config = self.config
        sandbox: Dict[str, Any] = {
            "shell": " ".join(self.shell()),
            "workdir": config.workdir,
            "user": config.user,
            "home": config.home,
            "python": config.python,
        }
        return {
            "major": frames.MAJOR,
            "minor": frames.MINOR,
            "features": self._features,
            "sandbox": sandbox,
        }

    # -- users, shell, environment --

    def account(self, name: Optional[str]) -> Account:
        """Who is meant by a request's ``user``; ``None`` is the sandbox's.

        Raises:
            OpError: ``no_such_user``, also where the agent cannot switch to that user.
        """
        if self._default_account is None:
            self._default_account = self.config.account()
        default = self._default_account
        if name is None or name in (default.name, str(default.uid)):
            return default
        account = accounts.find(name)
        if not self.config.can_switch_user:
            raise OpError(NO_SUCH_USER, f"only {default.name} exists here, not {name}")
        return account

    def acting(self, account: Account, real: bool = False) -> accounts.Acting:
        """A ``with`` block in which the agent is this user, as far as it can switch."""
        return accounts.Acting(account if self.config.can_switch_user else None, real)

    def acting_as(self, uid: int, gid: int) -> accounts.Acting:
        """The same for a user known by number only, without supplementary groups."""
        return self.acting(Account(str(uid), uid, gid))

    def shell(self) -> List[str]:
        """The words before the text of a shell command."""
        if self.config.shell:
            return self.config.shell.split()
        if not self._has_bash:
            # Looked for again while there is none: it may be installed.
            directories = self.config.path.split(":")
            self._has_bash = any(
                os.path.exists(os.path.join(directory, "bash")) for directory in directories
            )
        return ["bash", "-c"] if self._has_bash else ["sh", "-c"]

    def environment(self, account: Account, extra: Dict[str, str]) -> Dict[str, str]:
        """The variables of something started by `account`; nothing of the agent's own."""
        env = {
            "HOME": account.home,
            "USER": account.name,
            "LOGNAME": account.name,
            "PATH": self.config.path,
            "SHELL": "/bin/" + os.path.basename(self.shell()[0]),
            "LANG": "C.UTF-8",
        }
        env.update(self.config.env)
        env.update(extra)
        return env

    # -- children --

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call ``callback(status)``, as of waitpid, when the child `pid` was reaped.

        To be called in the callback that made the child, before returning to the loop.
        """
        self._children[pid] = callback

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if was_only_held(pid, status):
                continue
            callback = self._children.pop(pid, None)
            if callback is not None:
                callback(status)

    # -- connections --

    def accept(self, sock: socket.socket) -> None:
        """Serve a client on a connected stream socket."""
        if len(self._connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        self._connections[Connection(self, sock)] = None

    def announce(self, message: Message) -> List[Connection]:
        """Send every client an event of its connection; returns those of all who have greeted."""
        return [one for one in list(self._connections) if one.announce(message)]

    def disconnected(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.pop(connection, None)
        if not self._connections and self.on_idle is not None:
            self.loop.call_soon(self.on_idle)

    def listen(self, path: str, admit: Optional[Callable[[socket.socket], bool]] = None) -> None:
        """Accept clients on a unix socket at `path`, which only its owner may use.

        Args:
            path: made there.
            admit: says of each client whether it may come in; ``None`` lets all in.

        Raises:
            OSError: it cannot be made.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(64)

        def ready(_events: int) -> None:
            try:
                client, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptor is left: the client waits until there may be one again.
                self.loop.unwatch(listener.fileno())
                self.loop.call_later(_NO_DESCRIPTORS_PAUSE, watch)
                return
            if admit is None or admit(client):
                self.accept(client)
            else:
                client.close()

        def watch() -> None:
            self.loop.watch(listener.fileno(), READABLE, ready)

        watch()
