"""Tells of what is in directories that are new to a watch, a few entries at a time."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional, Tuple

from .errors import NO_DESCRIPTORS
from .watchtree import Found, Node, Tree, file_type

if TYPE_CHECKING:
    Entry = os.DirEntry[str]

_ENTRIES_AT_ONCE = 64


class Scan:
    """The directories still to be looked through.

    A directory is watched before it is looked through, and each entry is looked at again right
    before it is told of. So what happens meanwhile is known, or comes as an event later.

    Args:
        tree: what is watched.
        found_directory: ``(parent, name, found)``: there is one.
        found_other: ``(parent, name, type)``: there is something else.
        out_of_reach: ``(directory)``: it is not where it should be.
    """

    def __init__(
        self,
        tree: Tree,
        found_directory: Callable[[Node, bytes, Optional[Found]], None],
        found_other: Callable[[Node, bytes, str], None],
        out_of_reach: Callable[[Node], None],
    ) -> None:
        self._tree = tree
        self._found_directory = found_directory
        self._found_other = found_other
        self._out_of_reach = out_of_reach
        self._waiting: Deque[Node] = deque()
        self._at: Optional[Tuple[Node, int, Any]] = None

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return self._at is not None or bool(self._waiting)

    def add(self, node: Node) -> None:
        """Look through a directory later."""
        node.seen = True
        self._waiting.append(node)

    def step(self) -> None:
        """Do a little of it."""
        if self._at is None:
            self._begin(self._waiting.popleft())
            return
        node, fd, entries = self._at
        for _ in range(_ENTRIES_AT_ONCE):
            entry = next(entries, None)
            if entry is None or not self._tree.holds(node):
                self.close()
                return
            self._look(node, fd, entry)

    def close(self) -> None:
        """Let go of the directory that is being looked through. Idempotent."""
        if self._at is not None:
            _, fd, entries = self._at
            entries.close()
            os.close(fd)
            self._at = None

    def _begin(self, node: Node) -> None:
        if not self._tree.holds(node):
            return
        fd = self._tree.open(node)
        if fd is None:
            node.seen = False
            self._out_of_reach(node)
            return
        try:
            self._at = (node, fd, os.scandir(fd))
        except OSError as error:
            os.close(fd)
            if error.errno in NO_DESCRIPTORS:
                raise

    def _look(self, node: Node, fd: int, entry: Entry) -> None:
        name = os.fsencode(entry.name)
        try:
            kind = file_type(os.lstat(name, dir_fd=fd))
        except FileNotFoundError:
            return
        except PermissionError:
            # A directory that may be read but not entered tells names and types.
            kind = "directory" if entry.is_dir(follow_symlinks=False) else "file"
        if kind == "directory":
            self._found_directory(node, name, self._tree.find(node, name, fd))
        else:
            self._found_other(node, name, kind)
