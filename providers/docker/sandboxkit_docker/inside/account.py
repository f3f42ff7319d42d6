"""Who commands run as, and where they are at home."""

from __future__ import annotations

import os
from typing import List, Optional

from sandboxkit.guest.agent import accounts
from sandboxkit.guest.agent.accounts import Account
from sandboxkit.guest.agent.errors import OpError

__all__ = ["RefusedError", "find", "make_directories", "make_directory"]

_USER = "user"
_UID = 1000
_HOME = "/home/user"


class RefusedError(Exception):
    """The orders cannot be carried out; the message says why."""


def find(user: Optional[str]) -> Account:
    """The account that is meant.

    Args:
        user: a name or number, with a group after a colon or without; ``None`` is the default,
            uid 1000, which is made where the image has no such user.

    Raises:
        RefusedError: there is no such user.
    """
    if user is None:
        return _default()
    name, _, group = user.partition(":")
    found = _default() if name in (_USER, str(_UID)) else _of_image(name)
    if group:
        gid = _group_number(group)
        found = found._replace(gid=gid, groups=(gid,))
    return found


def _of_image(name: str) -> Account:
    try:
        return accounts.find(name)
    except OpError:
        if name == "root":  # an image without accounts
            return Account("root", 0, 0, "/root", (0,))
        raise RefusedError("there is no user %r in the image" % name) from None


def _default() -> Account:
    if accounts.user_name(_UID) != str(_UID):
        return accounts.find(str(_UID))
    try:
        return accounts.find(_USER)
    except OpError:
        pass
    if not os.path.exists(accounts.PASSWD):
        _append(accounts.PASSWD, "root:x:0:0::/root:/bin/sh\n")
        _append(accounts.GROUP, "root:x:0:\n")
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    _append(accounts.PASSWD, "%s:x:%d:%d::%s:%s\n" % (_USER, _UID, _UID, _HOME, shell))
    if accounts.group_name(_UID) == str(_UID):
        _append(accounts.GROUP, "%s:x:%d:\n" % (_USER, _UID))
    return Account(_USER, _UID, _UID, _HOME, (_UID,))


def _group_number(group: str) -> int:
    if group.isdigit():
        return int(group)
    for fields in _lines(accounts.GROUP):
        if len(fields) > 2 and fields[0] == group and fields[2].isdigit():
            return int(fields[2])
    raise RefusedError("there is no group %r in the image" % group)


def _lines(path: str) -> List[List[str]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n").split(":") for line in file]
    except FileNotFoundError:
        return []


def _append(path: str, line: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())


def make_directory(path: str, account: Account) -> None:
    """Make a directory that is the account's, if it is not there; what is above it is root's.

    Raises:
        RefusedError: it cannot be made.
    """
    if os.path.isdir(path):
        return
    try:
        os.makedirs(path, 0o755)
        os.chown(path, account.uid, account.gid)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RefusedError("%r cannot be made: %s" % (path, reason)) from error


def make_directories(path: str, account: Account) -> None:
    """Make a directory, and those above it that are missing, as the account's.

    Raises:
        RefusedError: it cannot be made.
    """
    if os.path.lexists(path) and not os.path.isdir(path):
        raise RefusedError("the target %r of a mount is in the image, and no directory" % path)
    if not os.path.isdir(path):
        make_directories(os.path.dirname(path), account)
        make_directory(path, account)
