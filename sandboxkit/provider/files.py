"""Files: the requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..models import FileEvent
from .lifecycle import SandboxRequest

__all__ = [
    "ListFilesRequest",
    "MkdirRequest",
    "PathRequest",
    "ReadFileRequest",
    "RemoveRequest",
    "RenameRequest",
    "WatchRequest",
    "WatchStream",
    "WriteFileRequest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRequest(SandboxRequest):
    """An operation on one path; always absolute.

    Attributes:
        user: who does it; ``None`` is the sandbox's user.
    """

    path: str
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFileRequest(PathRequest):
    """Read a file from byte `offset`, `length` bytes or to its end."""

    offset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFileRequest(PathRequest):
    """Replace a file's content at once: readers see the old content or the new, nothing between.

    Attributes:
        data: the content in chunks of any size.
        mode: permission bits; ``None`` keeps those of the file replaced, else ``0o644``.
    """

    data: AsyncIterator[bytes]
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilesRequest(PathRequest):
    """List a directory, `depth` levels deep."""

    depth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MkdirRequest(PathRequest):
    """Make a directory.

    Attributes:
        parents: make missing parents too, and do not mind if it is there already.
        mode: permission bits.
    """

    parents: bool = True
    mode: int = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRequest(PathRequest):
    """Remove a file or, if `recursive`, a directory with all that is in it."""

    recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRequest(PathRequest):
    """Rename `path` to `target`, replacing a file that is there."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest(PathRequest):
    """Tell of what changes in a directory, and below it if `recursive`."""

    recursive: bool = False


class WatchStream(ABC):
    """A watch that is set: nothing that happens from now on is missed without a word."""

    @abstractmethod
    def events(self) -> AsyncIterator[FileEvent]:
        """What happens, in order, until the directory itself is removed. Iterated once.

        After an ``overflow``, where some of it was lost, all that is there comes as ``created``.

        Raises:
            TransportError: the watch is lost.
            SandboxNotFoundError: the sandbox has ended.
            RateLimitError: more directories have come than can be watched.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
