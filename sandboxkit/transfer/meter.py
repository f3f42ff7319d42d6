"""Counts what a transfer does, and tells of it now and then."""

from __future__ import annotations

import inspect
import time

from ..provider import TreeEntry
from .records import ProgressCallback, SkippedPath, TransferProgress, TransferSummary

__all__ = ["Meter"]

INTERVAL = 0.1
"""Seconds between two calls of a callback."""

MAX_SKIPPED = 1000
"""Paths left out that are named."""


class Meter:
    """The figures of one transfer.

    Args:
        progress: who is told.
    """

    def __init__(self, progress: ProgressCallback | None) -> None:
        self.wanted = progress is not None
        self._progress = progress
        self._began = time.monotonic()
        self._told = 0.0
        self._path = ""
        self._bytes_total = self._files_total = 0
        self._bytes_done = self._files_done = 0
        self._files = self._directories = self._symlinks = self._bytes = 0
        self._files_sent = self._bytes_sent = 0
        self._skipped: list[SkippedPath] = []
        self._skipped_total = 0

    def expect(self, entry: TreeEntry) -> None:
        """There is this to be copied."""
        if entry.type == "file":
            self._files_total += 1
            self._bytes_total += entry.size

    def stored(self, entry: TreeEntry) -> None:
        """This is at the target, whole."""
        if entry.type == "file":
            self._files += 1
            self._bytes += entry.size
            self._files_done += 1
        elif entry.type == "symlink":
            self._symlinks += 1
        elif entry.name:
            self._directories += 1

    def there(self, size: int) -> None:
        """So much of a file was there before."""
        self._bytes_done += size

    def begun(self, path: str) -> None:
        """A file is being sent."""
        self._path = path
        self._files_sent += 1

    def sent(self, size: int) -> None:
        """So much content travelled."""
        self._bytes_sent += size
        self._bytes_done += size

    def skip(self, path: str, reason: str) -> None:
        """This was left out."""
        self._skipped_total += 1
        if len(self._skipped) < MAX_SKIPPED:
            self._skipped.append(SkippedPath(path, reason))

    async def tell(self, *, last: bool = False) -> None:
        """Call the callback, unless that was just done."""
        now = time.monotonic()
        if self._progress is None or (not last and now - self._told < INTERVAL):
            return
        self._told = now
        pending = self._progress(
            TransferProgress(
                bytes_done=self._bytes_done,
                bytes_total=max(self._bytes_total, self._bytes_done),
                files_done=self._files_done,
                files_total=max(self._files_total, self._files_done),
                path=self._path,
            )
        )
        if inspect.isawaitable(pending):
            await pending

    def summary(self) -> TransferSummary:
        """All of it."""
        return TransferSummary(
            files=self._files,
            directories=self._directories,
            symlinks=self._symlinks,
            bytes=self._bytes,
            files_sent=self._files_sent,
            bytes_sent=self._bytes_sent,
            skipped=tuple(self._skipped),
            skipped_total=self._skipped_total,
            duration=time.monotonic() - self._began,
        )
