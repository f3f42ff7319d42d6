"""What a transfer is told, and what it tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import InvalidRequestError

__all__ = [
    "ProgressCallback",
    "SkippedPath",
    "TransferOptions",
    "TransferProgress",
    "TransferSummary",
    "Verify",
]

Verify = Literal["time", "checksum"]
"""How a file that is there is found to be the same: by size and time, or by its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgress:
    """How far a transfer has come.

    Attributes:
        bytes_done: of all content, what is at the target, also what was there before.
        bytes_total: of all content.
        files_done: files that are whole at the target.
        files_total: files in all.
        path: what is being worked on, below the directory that is copied.
    """

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    path: str


ProgressCallback = Callable[[TransferProgress], Awaitable[None] | None]
"""Called now and then, ten times a second at most, and at the end."""


@dataclass(frozen=True, slots=True)
class SkippedPath:
    """Something that was left out.

    Attributes:
        path: below the directory that is copied.
        reason: why, for people.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSummary:
    """What a transfer did.

    Attributes:
        files: regular files that were copied or found to be there already.
        directories: likewise; the one that was named does not count.
        symlinks: likewise.
        bytes: content of these files.
        files_sent: files whose content, or some of it, had to travel.
        bytes_sent: content that travelled.
        skipped: what was left out, the first thousand.
        skipped_total: how many were left out in all; what ``exclude`` names does not count.
        duration: seconds.
    """

    files: int
    directories: int
    symlinks: int
    bytes: int
    files_sent: int
    bytes_sent: int
    skipped: tuple[SkippedPath, ...]
    skipped_total: int
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """What `upload` and `download` are asked for, beyond the two places.

    Attributes:
        exclude: patterns as in a ``.gitignore``.
        verify: how files that are there are compared.
        progress: who is told how far it has come.
        user: who reads or writes in the sandbox.
    """

    exclude: Sequence[str] = ()
    verify: Verify = "time"
    progress: ProgressCallback | None = None
    user: str | None = None

    def check(self, op: str) -> None:
        """See that the options can be followed.

        Raises:
            InvalidRequestError: one is wrong.
        """
        if self.verify not in get_args(Verify):
            raise InvalidRequestError(
                f'{op}: verify is "time" or "checksum", not {self.verify!r}', op=op
            )
        patterns = self.exclude
        if isinstance(patterns, str) or not isinstance(patterns, Sequence):
            raise InvalidRequestError(
                f"{op}: exclude is a list of patterns, not {patterns!r:.60}", op=op
            )
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise InvalidRequestError(f"{op}: {pattern!r:.60} is no pattern", op=op)
        if self.progress is not None and not callable(self.progress):
            raise InvalidRequestError(
                f"{op}: progress is a function, not {self.progress!r:.60}", op=op
            )
