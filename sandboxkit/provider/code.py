"""Code: cells, their contexts, and what they report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ..models import CodeError, Result, StreamName
from .lifecycle import SandboxRequest
from .processes import Paused, Resumed

__all__ = [
    "CodeEnded",
    "CodeEvent",
    "CodeOutput",
    "CodeRaised",
    "CodeResult",
    "CodeStream",
    "ContextRequest",
    "CreateContextRequest",
    "RunCodeRequest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContextRequest(SandboxRequest):
    """Make a place for code to run in."""

    language: str = "python"
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRequest(SandboxRequest):
    """An operation on one context."""

    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCodeRequest(SandboxRequest):
    """Run a cell.

    Attributes:
        context: where; ``None`` is the language's default context, made when first used.
        env: set for this cell alone.
        timeout: seconds after which the cell is interrupted, and if it does not mind that
            within `grace` seconds, its interpreter killed.
    """

    code: str
    language: str = "python"
    context: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    grace: float = 2.0


@dataclass(frozen=True, slots=True)
class CodeOutput:
    """The cell printed something."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The cell showed something."""

    result: Result


@dataclass(frozen=True, slots=True)
class CodeRaised:
    """The cell raised.

    Attributes:
        error: what.
        signal: the one that ended its interpreter, if that is what is told.
    """

    error: CodeError
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class CodeEnded:
    """The last event.

    Attributes:
        context: where the cell ran.
        execution_count: how many cells it has run.
        timed_out: whether the timeout ended the cell.
        restarted: whether the interpreter died and the context's variables with it.
        exit_code: of a bash cell.
        oom: whether the kernel's out-of-memory killer ended the interpreter, or in bash what the
            cell ended with.
    """

    context: str
    execution_count: int
    timed_out: bool = False
    restarted: bool = False
    exit_code: int | None = None
    oom: bool = False


CodeEvent = CodeOutput | CodeResult | CodeRaised | CodeEnded | Paused | Resumed


class CodeStream(ABC):
    """A cell that is running."""

    @abstractmethod
    def events(self) -> AsyncIterator[CodeEvent]:
        """What it does, `CodeEnded` last. Iterated once.

        Raises:
            ExecLostError: no terminal event can be had any more.
        """

    @abstractmethod
    async def interrupt(self) -> None:
        """Stop the cell as Ctrl-C would, then by force; returns when it is over. Idempotent."""

    @abstractmethod
    async def detach(self) -> None:
        """Let go of the stream. Idempotent."""
