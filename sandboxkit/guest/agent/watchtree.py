"""The directories that a watch watches: where they are as far as was told, and which they are.

Events are read later than they happen, and by then a path may lead elsewhere. So a directory is
known by its identity, and looked at through a descriptor whose identity was compared.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .errors import TOO_MANY, OpError
from .inotify import Inotify

#: Directories that one watch may watch.
MAX_DIRECTORIES = 65_536

Identity = Tuple[int, int]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
# What says that a directory cannot be looked at, now or by this user, and nothing worse.
_OUT_OF_REACH = (
    errno.EACCES,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.ESTALE,
)
_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


def file_type(found: os.stat_result) -> str:
    """``file``, ``directory``, ``symlink`` or ``other``."""
    return _TYPES.get(stat.S_IFMT(found.st_mode), "other")


class Node:
    """A directory that was told of, or the root.

    Attributes:
        parent: ``None`` for the root, and for what is in the tree no more.
        name: in its parent; the root's is its whole path.
        wd: its number in the inotify queue; ``None`` if it is not watched.
        identity: device and inode; of no meaning if it is not watched.
        seen: what is in it was told, or is to be soon.
        children: the directories in it.
        special: what else in it is no regular file, by name.
    """

    __slots__ = ("children", "identity", "name", "parent", "seen", "special", "wd")

    def __init__(self, parent: Optional[Node], name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.wd: Optional[int] = None
        self.identity: Identity = (0, 0)
        self.seen = False
        self.children: Dict[bytes, Node] = {}
        self.special: Dict[bytes, str] = {}

    def type_of(self, name: bytes) -> str:
        """What an entry of it is, as far as was told."""
        return "directory" if name in self.children else self.special.get(name, "file")

    def note(self, name: bytes, kind: str) -> None:
        """Remember what an entry is that is no directory."""
        if kind == "file":
            self.special.pop(name, None)
        else:
            self.special[name] = kind


class Found(NamedTuple):
    """A directory that was looked at, and is watched from then on.

    Attributes:
        wd: its number; ``None`` if it is on another file system, which is not watched.
    """

    wd: Optional[int]
    identity: Identity


class Tree:
    """The watched directories of one watch, with the inotify queue they are watched by.

    Raises:
        OSError: the root cannot be watched.

    Attributes:
        inotify: the queue.
        root: the directory that is watched.
        fresh: directories that may have events from before they were looked through.
    """

    def __init__(self, path: bytes) -> None:
        self.root = Node(None, path)
        self.fresh: Set[Node] = set()
        self._by_wd: Dict[int, Node] = {}
        self._opened: Optional[Tuple[Node, int]] = None
        self.inotify = _queue()
        try:
            fd = os.open(path, _FLAGS)
            try:
                self.root.identity = _identity(os.fstat(fd))
                self._watched(self.root, self._add(fd))
            finally:
                os.close(fd)
        except OSError:
            self.inotify.close()
            raise

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        self.release()
        self.inotify.close()
        self._by_wd.clear()

    # -- what is known --

    def by_wd(self, wd: int) -> Optional[Node]:
        """The directory with this number."""
        return self._by_wd.get(wd)

    def holds(self, node: Node) -> bool:
        """Whether it is in the tree."""
        return node is self.root or node.parent is not None

    def path(self, node: Node, name: bytes = b"") -> bytes:
        """The path of a directory, or of something in it."""
        names: List[bytes] = [name] if name else []
        at: Optional[Node] = node
        while at is not None:
            names.append(at.name)
            at = at.parent
        names[-1] = names[-1].rstrip(b"/")
        return b"/".join(reversed(names)) or b"/"

    def is_below(self, node: Node, other: Node) -> bool:
        """Whether `node` is `other` or in it."""
        at: Optional[Node] = node
        while at is not None and at is not other:
            at = at.parent
        return at is other

    # -- looking --

    def open(self, node: Node) -> Optional[int]:
        """A descriptor of the directory, for the caller to close; ``None`` if it is not there."""
        try:
            fd = os.open(self.path(node), _FLAGS | (os.O_NOFOLLOW if node.parent else 0))
        except OSError as error:
            if error.errno in _OUT_OF_REACH:
                return None
            raise
        if _identity(os.fstat(fd)) == node.identity:
            return fd
        os.close(fd)
        return None

    def look(self, node: Node, name: bytes) -> Optional[os.stat_result]:
        """What is in a directory by this name now.

        Raises:
            LookupError: the directory cannot be looked into.
        """
        fd = self._fd(node)
        if fd is None:
            raise LookupError
        try:
            return os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in _OUT_OF_REACH:
                raise LookupError from error
            raise

    def find(self, node: Node, name: bytes, fd: Optional[int] = None) -> Optional[Found]:
        """Look at a directory in a directory, and watch it; ``None`` if it cannot be opened.

        Args:
            node: the directory it is in.
            name: its name there.
            fd: of the directory it is in, where the caller has one.

        Raises:
            OpError: ``too_many``.
        """
        fd = self._fd(node) if fd is None else fd
        if fd is None:
            return None
        try:
            opened = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as error:
            if error.errno in _OUT_OF_REACH:
                return None
            raise
        try:
            identity = _identity(os.fstat(opened))
            same_device = identity[0] == self.root.identity[0]
            return Found(self._add(opened) if same_device else None, identity)
        finally:
            os.close(opened)

    def release(self) -> None:
        """Close what was kept open between looks at one directory."""
        if self._opened is not None:
            os.close(self._opened[1])
            self._opened = None

    def _fd(self, node: Node) -> Optional[int]:
        if self._opened is not None and self._opened[0] is node:
            return self._opened[1]
        self.release()
        fd = self.open(node)
        if fd is not None:
            self._opened = (node, fd)
        return fd

    def _add(self, fd: int) -> int:
        try:
            wd = self.inotify.add(fd)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise _too_many("watches, see /proc/sys/fs/inotify/max_user_watches") from error
            raise
        if wd not in self._by_wd and len(self._by_wd) >= MAX_DIRECTORIES:
            raise OpError(TOO_MANY, f"more than {MAX_DIRECTORIES} directories")
        return wd

    # -- changing --

    def attach(self, parent: Node, name: bytes, found: Optional[Found]) -> Node:
        """Have a directory in the tree that is not there yet."""
        node = parent.children[name] = Node(parent, name)
        parent.special.pop(name, None)
        self.adopt(node, found)
        return node

    def adopt(self, node: Node, found: Optional[Found]) -> None:
        """Have a directory of the tree be the one that was found, which no other is."""
        if found is not None and found.wd is not None:
            node.identity = found.identity
            self._watched(node, found.wd)

    def move(self, node: Node, parent: Node, name: bytes) -> None:
        """Have a directory, with all in it, elsewhere in the tree."""
        if node.parent is not None:
            del node.parent.children[node.name]
        node.parent, node.name = parent, name
        parent.children[name] = node
        parent.special.pop(name, None)

    def drop(self, node: Node, keep: Optional[int] = None) -> None:
        """Take a directory, with all in it, out of the tree; all but number `keep` is unwatched."""
        if node.parent is not None:
            del node.parent.children[node.name]
        for gone in list(_all_below(node)):
            gone.parent = None
            gone.children = {}
            if gone.wd is not None:
                del self._by_wd[gone.wd]
                if gone.wd != keep:
                    self.inotify.remove(gone.wd)
                gone.wd = None

    def unwatched(self, node: Node) -> None:
        """The kernel has stopped to watch a directory."""
        if node.wd is not None:
            del self._by_wd[node.wd]
            node.wd = None

    def _watched(self, node: Node, wd: int) -> None:
        node.wd = wd
        self._by_wd[wd] = node
        self.fresh.add(node)


def _all_below(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        at = waiting.pop()
        waiting.extend(at.children.values())
        yield at


def _identity(found: os.stat_result) -> Identity:
    return (found.st_dev, found.st_ino)


def _queue() -> Inotify:
    try:
        return Inotify()
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise _too_many("queues, see /proc/sys/fs/inotify/max_user_instances") from error
        raise


def _too_many(what: str) -> OpError:
    return OpError(TOO_MANY, f"this user has as many as the kernel allows of inotify {what}")
