"""Reaches what is below a directory without ever following a symbolic link on the way.

Whoever may write in a tree may put a link where a directory was. By descriptors, opened one
level at a time with ``O_NOFOLLOW``, no such link leads anywhere.
"""

from __future__ import annotations

import os
from typing import List, Tuple

from .treeentry import parts_of

#: A descriptor that only names a directory needs no right to read it. Linux alone has it.
NAMING = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class Beneath:
    """A directory and all below it. Close it.

    Args:
        top: the directory; this path itself may lead through links.

    Raises:
        OSError: it is not there, or no directory.
    """

    def __init__(self, top: bytes) -> None:
        self._top = os.open(top, NAMING)
        # The directory that was reached last: what is asked for next is mostly in it.
        self._last: Tuple[List[bytes], int] = ([], self._top)

    def directory(self, parts: List[bytes]) -> int:
        """A descriptor of a directory, good until the next call.

        Raises:
            OSError: it is not there, or something on the way is no directory.
        """
        way, fd = self._last
        if parts == way:
            return fd
        if parts[: len(way)] != way:
            way, fd = [], self._top
        reached = fd
        for part in parts[len(way) :]:
            try:
                deeper = os.open(part, NAMING | os.O_NOFOLLOW, dir_fd=reached)
            finally:
                if reached not in (self._top, self._last[1]):
                    os.close(reached)
            reached = deeper
        self._remember(parts, reached)
        return reached

    def parent(self, name: str) -> Tuple[int, bytes]:
        """A descriptor of the directory a name is in, good until the next call; and its last part.

        The top itself is ``.`` in itself.

        Raises:
            OSError: that directory is not there, or something on the way is no directory.
            ValueError: the name is none.
        """
        parts = parts_of(name)
        if not parts:
            return self._top, b"."
        return self.directory(parts[:-1]), parts[-1]

    def close(self) -> None:
        """Let go of the descriptors. Idempotent."""
        if self._top >= 0:
            self._remember([], self._top)
            os.close(self._top)
            self._top = -1

    def _remember(self, parts: List[bytes], fd: int) -> None:
        before = self._last[1]
        self._last = (parts, fd)
        if before not in (fd, self._top):
            os.close(before)
