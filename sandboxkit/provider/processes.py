"""Processes: how one is started, what it reports, and how it is steered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ..errors import UnsupportedError
from ..models import Cursor, OutputChunk, StreamName, TerminalSize
from .lifecycle import SandboxRequest

__all__ = [
    "KILL_GRACE",
    "AttachRequest",
    "Closed",
    "Exited",
    "Gap",
    "Paused",
    "ProcessEvent",
    "ProcessStream",
    "Resumed",
    "StartRequest",
]


KILL_GRACE = 0.5
"""Seconds between the polite and the final signal when a process tree is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest(SandboxRequest):
    """Start a process.

    Attributes:
        command: text for the shell, or an argument vector that no shell sees.
        cwd: absolute; it must exist.
        env: on top of the sandbox's.
        user: who runs it; ``None`` is the sandbox's.
        stdin: whether it gets a pipe; else ``/dev/null``.
        timeout: seconds after which the provider ends the whole tree and reports
            ``Exited(timed_out=True)``; ``None`` is never.
        grace: seconds between SIGTERM and SIGKILL then.
        terminal: run it on a terminal of this size (capability ``terminals``): its output, errors
            too, is all on stdout, its input is open, and it leads a session whose terminal this is.
        bound: whether it dies when this client is gone for good (`run`), or lives on (`start`).
    """

    command: str | tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stdin: bool = False
    terminal: TerminalSize | None = None
    timeout: float | None = None
    grace: float = KILL_GRACE
    bound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest(SandboxRequest):
    """Listen to a process that runs already, from a place in its output.

    Attributes:
        pid: which.
        cursor: where in its output to begin.
        own: take it over from whoever started it: its input, its terminal's size, back-pressure.
    """

    pid: int
    cursor: Cursor = field(default_factory=Cursor)
    own: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended. Output may still follow until `Closed`.

    Attributes:
        code: its status 0-255 if it exited, else ``None``.
        signal: the signal that ended it, else ``None``.
        timed_out: whether the provider ended it at its timeout.
        oom: whether the out-of-memory killer did.
    """

    code: int | None
    signal: int | None = None
    timed_out: bool = False
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """Both output streams reached their end; the last event."""


@dataclass(frozen=True, slots=True)
class Gap:
    """This listener missed bytes `start` to `end` of a stream; they are kept nowhere."""

    stream: StreamName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The sandbox is about to stand still: no time runs out until `Resumed`."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The sandbox goes on.

    Attributes:
        after: seconds since `Paused`.
    """

    after: float


ProcessEvent = OutputChunk | Gap | Exited | Closed | Paused | Resumed


class ProcessStream(ABC):
    """A live process: its events, its input and its end.

    Attributes:
        pid: its number inside the sandbox.
    """

    pid: int

    @abstractmethod
    def events(self) -> AsyncIterator[ProcessEvent]:
        """Everything that happens to it, `Exited` once, `Closed` last. Iterated once.

        A transport that breaks is mended here where the provider can resume.

        Raises:
            ExecLostError: no terminal event can be had any more.
        """

    @abstractmethod
    async def send_stdin(self, data: bytes) -> None:
        """Write to its standard input; waits while the process does not read.

        Raises:
            BrokenPipeError: it has closed its input or ended.
        """

    @abstractmethod
    async def close_stdin(self) -> None:
        """Let it see the end of its standard input."""

    @abstractmethod
    async def signal(self, signum: int) -> None:
        """Deliver a signal to the process itself.

        Raises:
            ProcessNotFoundError: it has ended.
        """

    @abstractmethod
    async def terminate(self, grace: float = KILL_GRACE) -> None:
        """End it and all its descendants: SIGTERM, `grace` seconds, SIGKILL. Idempotent."""

    async def resize(self, size: TerminalSize) -> None:
        """Tell it that its terminal has another size now; it gets SIGWINCH. Not once it has ended.

        Raises:
            UnsupportedError: it has no terminal.
            InvalidRequestError: it is another's.
        """
        raise UnsupportedError(
            f"process {self.pid} has no terminal", capability="terminals", op="resize"
        )

    @abstractmethod
    async def detach(self) -> None:
        """Stop listening. The process lives on and never blocks on its output. Idempotent."""
