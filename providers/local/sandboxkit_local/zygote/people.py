"""Who is who in a sandbox whose root is not made of this host's files."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from sandboxkit_local.jail.idmap import USER_ID

__all__ = ["UnknownError", "settle"]

_USER, _HOME = "user", "/home/user"
_PYTHONS = ("python3", "python")


class UnknownError(Exception):
    """The root has no such user."""


def settle(agent: dict[str, Any]) -> None:
    """Complete the agent's settings by what the root says: its users, and its Python.

    Called inside, as the agent. The ordinary user is made where the root has none.

    Raises:
        UnknownError: it has no such user.
    """
    accounts = importlib.import_module("sandboxkit.guest.agent.accounts")
    single = not agent["can_switch_user"]
    name = agent["user"]
    ordinary = name in (_USER, str(USER_ID))
    found = _ordinary(accounts) if ordinary else _known(accounts, name)
    agent |= {"user": found.name, "uid": found.uid, "gid": found.gid, "home": found.home}
    if single:
        agent |= {"uid": USER_ID, "gid": USER_ID}
    agent["workdir"] = agent["workdir"] or found.home
    python = _python(agent["path"])
    sys.executable = ""  # the agent's own is out of sight
    agent |= {"python": python, "fork_python": not python}


def _known(accounts: Any, name: str) -> Any:
    if accounts.user_name(0) == "0" and name in ("root", "0"):  # a root without accounts
        return accounts.Account("root", 0, 0, "/root", (0,))
    try:
        return accounts.find(name)
    except importlib.import_module("sandboxkit.guest.agent.errors").OpError:
        raise UnknownError(f"there is no user {name!r} in the template") from None


def _ordinary(accounts: Any) -> Any:
    if accounts.user_name(USER_ID) == str(USER_ID):
        try:
            return accounts.find(_USER)  # of another number
        except importlib.import_module("sandboxkit.guest.agent.errors").OpError:
            shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
            _add(accounts.PASSWD, f"{_USER}:x:{USER_ID}:{USER_ID}::{_HOME}:{shell}\n")
            if accounts.group_name(USER_ID) == str(USER_ID):
                _add(accounts.GROUP, f"{_USER}:x:{USER_ID}:\n")
    return accounts.find(str(USER_ID))


def _add(path: str, line: str) -> None:
    """Add a line to a file that may belong to somebody who does not exist here."""
    try:
        with open(path, "rb") as file:
            before = file.read(1 << 20)
    except FileNotFoundError:
        root = "root:x:0:0::/root:/bin/sh\n" if path.endswith("passwd") else "root:x:0:\n"
        before = root.encode()
    if before and not before.endswith(b"\n"):
        before += b"\n"
    fd = os.open(path + "-sandboxkit", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(before + line.encode())
    os.rename(path + "-sandboxkit", path)


def _python(path: str) -> str:
    """The root's own interpreter; empty if it has none."""
    for name in _PYTHONS:
        for directory in path.split(":"):
            found = os.path.join(directory, name)
            if os.path.isfile(found) and os.access(found, os.X_OK):
                return found
    return ""
