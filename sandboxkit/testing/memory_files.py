"""A file system that is a dictionary, with the errors of a real one."""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..errors import FileError, file_error
from ..models import FileInfo

__all__ = ["Node", "Tree"]

NAME_MAX = 255
"""Bytes in one part of a path, as on Linux's file systems."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file, or a directory where `content` is ``None``. Never changed, only replaced."""

    content: bytes | None
    mode: int
    owner: str = "user"
    modified_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Tree:
    """Absolute, normalised paths to nodes; ``/`` is always there."""

    def __init__(self, nodes: dict[str, Node] | None = None) -> None:
        self._nodes = nodes if nodes is not None else {"/": Node(None, 0o755, "root")}

    def copy(self) -> Tree:
        """An independent copy; nodes are immutable, so none is copied."""
        return Tree(dict(self._nodes))

    def size(self) -> int:
        """Bytes in all files."""
        return sum(len(node.content) for node in self._nodes.values() if node.content is not None)

    def read(self, path: str) -> bytes:
        """A file's content."""
        content = self._get(path).content
        if content is None:
            raise _error(errno.EISDIR, path)
        return content

    def write(self, path: str, content: bytes, mode: int | None, owner: str) -> None:
        """Replace a file, making its parents."""
        _check_names(path)
        self.mkdir(posixpath.dirname(path), parents=True, mode=0o755, owner=owner)
        before = self._nodes.get(path)
        if before is not None and before.content is None:
            raise _error(errno.EISDIR, path)
        if mode is None:
            mode = 0o644 if before is None else before.mode
        self._nodes[path] = Node(content, mode, owner)

    def stat(self, path: str) -> FileInfo:
        """What is known of a path."""
        node = self._get(path)
        return FileInfo(
            path=path,
            type="directory" if node.content is None else "file",
            size=0 if node.content is None else len(node.content),
            mode=node.mode,
            owner=node.owner,
            group=node.owner,
            modified_at=node.modified_at,
        )

    def entries(self, path: str, depth: int) -> list[FileInfo]:
        """What is below a directory, by path."""
        self._directory(path)
        top = path.rstrip("/")
        below = [name for name in self._below(path) if name[len(top) :].count("/") <= depth]
        return [self.stat(name) for name in sorted(below)]

    def mkdir(self, path: str, *, parents: bool, mode: int, owner: str) -> None:
        """Make a directory."""
        _check_names(path)
        if path in self._nodes:
            if not parents or self._nodes[path].content is not None:
                raise _error(errno.EEXIST, path)
            return
        parent = posixpath.dirname(path)
        if parents and parent not in self._nodes:
            self.mkdir(parent, parents=True, mode=0o755, owner=owner)
        self._directory(parent)
        self._nodes[path] = Node(None, mode, owner)

    def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file or a directory."""
        self._get(path)
        below = self._below(path)
        if below and not recursive:
            raise _error(errno.ENOTEMPTY, path)
        if path == "/":
            raise _error(errno.EBUSY, path)
        for name in [*below, path]:
            del self._nodes[name]

    def rename(self, path: str, target: str) -> None:
        """Move a node and all below it, replacing a file or an empty directory."""
        _check_names(target)
        moved = self._get(path)
        if path == target:
            return
        if target.startswith(path.rstrip("/") + "/"):
            raise _error(errno.EINVAL, target)
        self._directory(posixpath.dirname(target))
        replaced = self._nodes.get(target)
        if replaced is not None:
            self._check_replaceable(moved, replaced, target)
            del self._nodes[target]
        for name in [path, *self._below(path)]:
            self._nodes[target + name[len(path) :]] = self._nodes.pop(name)

    def chown(self, path: str, owner: str) -> None:
        """Give a node another owner."""
        self._nodes[path] = replace(self._get(path), owner=owner)

    def _check_replaceable(self, moved: Node, replaced: Node, target: str) -> None:
        if replaced.content is None and moved.content is not None:
            raise _error(errno.EISDIR, target)
        if replaced.content is not None and moved.content is None:
            raise _error(errno.ENOTDIR, target)
        if self._below(target):
            raise _error(errno.ENOTEMPTY, target)

    def _below(self, path: str) -> list[str]:
        top = path.rstrip("/") + "/"
        return [name for name in self._nodes if name.startswith(top) and name != "/"]

    def _get(self, path: str) -> Node:
        _check_names(path)
        node = self._nodes.get(path)
        if node is None:
            parent = posixpath.dirname(path)
            while parent not in self._nodes:
                parent = posixpath.dirname(parent)
            is_file = self._nodes[parent].content is not None
            raise _error(errno.ENOTDIR if is_file else errno.ENOENT, path)
        return node

    def _directory(self, path: str) -> None:
        if self._get(path).content is not None:
            raise _error(errno.ENOTDIR, path)


def _check_names(path: str) -> None:
    if any(len(os.fsencode(part)) > NAME_MAX for part in path.split("/")):
        raise _error(errno.ENAMETOOLONG, path)


def _error(number: int, path: str) -> FileError:
    return file_error(number, path, f"{path}: {os.strerror(number)}")
