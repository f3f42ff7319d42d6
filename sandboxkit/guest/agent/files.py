"""The operations on files: read, write, stat, list, mkdir, remove, rename."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Dict, Optional

from . import accounts, arguments
from .accounts import Account, Acting
from .errors import OpError
from .fileread import Reader
from .filewalk import Listing, Removal
from .filewrite import Writer, make_parents
from .server import Server
from .stream import Message, Stream
from .treeentry import decode, encode

_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


def install(server: Server) -> None:
    """Offer these operations."""
    ops = Files(server)
    for name in ("read", "write", "stat", "list", "mkdir", "remove", "rename"):
        server.add_op(name, getattr(ops, name))
    server.add_feature("files")


class FileArguments:
    """What every file operation is given.

    Attributes:
        path: as the client wrote it.
        raw: the same as the system takes it.
    """

    def __init__(self, server: Server, args: Message) -> None:
        self.path = arguments.path(args)
        self.raw = encode(self.path)
        self._server = server
        self._account: Account = server.account(arguments.optional_text(args, "user"))

    def acting(self) -> Acting:
        """Act as the operation's user."""
        return self._server.acting(self._account)

    def error(self, error: OSError) -> OpError:
        """The failure, said of the path."""
        return OpError.of(error, self.path)


class Names:
    """Names of users and groups, each looked up once."""

    def __init__(self) -> None:
        self._users: Dict[int, str] = {}
        self._groups: Dict[int, str] = {}

    def user(self, uid: int) -> str:
        """A user's name, or number."""
        if uid not in self._users:
            self._users[uid] = accounts.user_name(uid)
        return self._users[uid]

    def group(self, gid: int) -> str:
        """A group's name, or number."""
        if gid not in self._groups:
            self._groups[gid] = accounts.group_name(gid)
        return self._groups[gid]


def describe(path: bytes, found: os.stat_result, names: Names) -> Dict[str, Any]:
    """What clients are told of a file."""
    target: Optional[str] = None
    if stat.S_ISLNK(found.st_mode):
        target = decode(os.readlink(path))
    return {
        "path": decode(path),
        "type": _TYPES.get(stat.S_IFMT(found.st_mode), "other"),
        "size": found.st_size,
        "mode": stat.S_IMODE(found.st_mode),
        "owner": names.user(found.st_uid),
        "group": names.group(found.st_gid),
        "mtime": found.st_mtime_ns / 1e9,
        "target": target,
    }


class Files:
    """The handlers. Long work goes on in the reactor, a piece at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def read(self, stream: Stream, args: Message) -> None:
        """Send a file's content."""
        common = FileArguments(self._server, args)
        offset = arguments.integer(args, "offset", 0)
        length = arguments.integer(args, "length")
        try:
            with common.acting():
                Reader(self._server.loop, stream, common.raw, offset or 0, length)
        except OSError as error:
            raise common.error(error) from error

    def write(self, stream: Stream, args: Message) -> None:
        """Replace a file's content by what the client sends."""
        common = FileArguments(self._server, args)
        mode = arguments.integer(args, "mode")
        if mode is not None and mode > 0o7777:
            raise arguments.bad("'mode' must be permission bits")
        Writer(stream, common.raw, mode, common.acting, common.error)

    def stat(self, stream: Stream, args: Message) -> None:
        """Tell of one path, links not followed."""
        common = FileArguments(self._server, args)
        try:
            with common.acting():
                description = describe(common.raw, os.lstat(common.raw), Names())
        except OSError as error:
            raise common.error(error) from error
        stream.result({**description, "path": common.path})

    def list(self, stream: Stream, args: Message) -> None:
        """Tell of all in a directory."""
        common = FileArguments(self._server, args)
        depth = arguments.integer(args, "depth", 1, least=1)
        names = Names()
        Listing(
            self._server.loop,
            stream,
            common,
            depth or 1,
            lambda path, found: describe(path, found, names),
        )

    def mkdir(self, stream: Stream, args: Message) -> None:
        """Make a directory."""
        common = FileArguments(self._server, args)
        parents = arguments.flag(args, "parents", True)
        mode = arguments.integer(args, "mode", 0o755)
        if mode is None or mode > 0o7777:
            raise arguments.bad("'mode' must be permission bits")
        try:
            with common.acting():
                _mkdir(common.raw.rstrip(b"/") or b"/", parents, mode)
        except OSError as error:
            raise common.error(error) from error
        stream.result({})

    def remove(self, stream: Stream, args: Message) -> None:
        """Remove a file, or a directory with all in it."""
        common = FileArguments(self._server, args)
        recursive = arguments.flag(args, "recursive")
        try:
            with common.acting():
                found = os.lstat(common.raw)
                if not stat.S_ISDIR(found.st_mode):
                    os.unlink(common.raw)
                    stream.result({})
                    return
        except OSError as error:
            raise common.error(error) from error
        if not recursive:
            raise OpError.of_errno(errno.EISDIR, common.path)
        Removal(self._server.loop, stream, common)

    def rename(self, stream: Stream, args: Message) -> None:
        """Rename, replacing a file that is there."""
        common = FileArguments(self._server, args)
        target = arguments.path(args, "target")
        try:
            with common.acting():
                os.rename(common.raw, encode(target))
        except OSError as error:
            raise common.error(error) from error
        stream.result({})


def _mkdir(path: bytes, parents: bool, mode: int) -> None:
    if parents:
        make_parents(path)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not parents or not os.path.isdir(path):
            raise
    else:
        # The umask may have taken bits away.
        os.chmod(path, mode)
