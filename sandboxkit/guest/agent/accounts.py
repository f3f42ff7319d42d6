"""Users of the sandbox: who they are, and acting as one of them for a moment."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Iterator, List, NamedTuple, Optional, Tuple, Type

from .errors import NO_DESCRIPTORS, NO_SUCH_USER, OpError

PASSWD = "/etc/passwd"
GROUP = "/etc/group"


class Account(NamedTuple):
    """A user.

    Attributes:
        groups: supplementary group numbers.
    """

    name: str
    uid: int
    gid: int
    home: str = "/"
    groups: Tuple[int, ...] = ()


def find(name: str) -> Account:
    """Look a user up by name or number.

    A number without an entry is a user with the group of the same number and the home ``/``.

    Raises:
        OpError: ``no_such_user``.
    """
    for fields in _entries(PASSWD, 7):
        if (name in (fields[0], fields[2])) and fields[2].isdigit() and fields[3].isdigit():
            uid, gid, home = int(fields[2]), int(fields[3]), fields[5] or "/"
            return Account(fields[0], uid, gid, home, tuple(groups_of(fields[0], gid)))
    if name.isascii() and name.isdigit() and int(name) < 2**32 - 1:
        return Account(name, int(name), int(name), "/", (int(name),))
    raise OpError(NO_SUCH_USER, f"no such user: {name}")


def groups_of(name: str, gid: int) -> List[int]:
    """The groups of a user, its own first."""
    others = [
        int(fields[2])
        for fields in _entries(GROUP, 4)
        if name in fields[3].split(",") and fields[2].isdigit() and int(fields[2]) != gid
    ]
    return [gid, *others]


def user_name(uid: int) -> str:
    """A user's name, or the number as text."""
    return _name(PASSWD, 7, uid)


def group_name(gid: int) -> str:
    """A group's name, or the number as text."""
    return _name(GROUP, 4, gid)


def _name(path: str, width: int, number: int) -> str:
    wanted = str(number)
    for fields in _entries(path, width):
        if fields[2] == wanted:
            return fields[0]
    return wanted


def _entries(path: str, width: int) -> Iterator[List[str]]:
    try:
        # A FIFO put in its place must not block the agent.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            raise
        return
    try:
        content = os.read(fd, 1 << 20)
    except OSError:
        return
    finally:
        os.close(fd)
    for line in content.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) >= width:
            yield fields


class Acting:
    """Act as another user within a ``with`` block: files, signals and what is spawned.

    The agent is single-threaded, so the whole process switches, and back. `None` is no switch.

    Args:
        real: also switch the real ids, which a spawned program keeps and limits count by.
    """

    __slots__ = ("_account", "_real", "_saved")

    def __init__(self, account: Optional[Account], real: bool = False) -> None:
        self._account = account
        self._real = real
        self._saved: Tuple[int, int, List[int]] = (0, 0, [])

    def __enter__(self) -> None:
        account = self._account
        if account is None:
            return
        self._saved = (os.geteuid(), os.getegid(), os.getgroups())
        try:
            os.setgroups(account.groups)
            os.setresgid(account.gid if self._real else -1, account.gid, -1)
            os.setresuid(account.uid if self._real else -1, account.uid, -1)
        except OSError as error:
            self._restore()
            message = f"cannot act as {account.name}: {error.strerror}"
            raise OpError(NO_SUCH_USER, message, error.errno) from error

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._account is not None:
            self._restore()

    def _restore(self) -> None:
        uid, gid, groups = self._saved
        # The user first: only then may the others be changed.
        os.setresuid(uid if self._real else -1, uid, -1)
        os.setresgid(gid if self._real else -1, gid, -1)
        os.setgroups(groups)
