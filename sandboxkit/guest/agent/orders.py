"""Serving a sandbox that somebody else has made, as its orders say.

The orders are one JSON object on standard input, to its end; none of them is in an argument, which
everybody could read. The answer is one line on standard output: ``{"event": "ready"}``, or
``{"event": "failed", "message": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, NoReturn, Optional

from . import accounts, pausing, starving
from .accounts import Account
from .config import DEFAULT_PATH, AgentConfig
from .errors import OpError
from .serve import serve
from .server import Server

__all__ = ["obey"]

_USERS = ("user", "1000")
# The variables of whoever started us that are not the sandbox's.
_OURS = frozenset({"HOME", "USER", "LOGNAME", "MAIL", "SHELL", "SHLVL", "PWD", "OLDPWD", "_"})


def obey(listen: str) -> NoReturn:
    """Serve at this path until the sandbox ends, then exit."""
    orders: Dict[str, Any] = json.loads(sys.stdin.buffer.read())
    try:
        config = _settle(orders)
    except (OpError, OSError, ValueError) as error:
        _say({"event": "failed", "message": str(error)})
        os._exit(1)
    serve(config, listen=listen, ready=_ready, extend=_extend)
    os._exit(0)


def _extend(server: Server) -> None:
    pausing.install(server)
    starving.install(server)


def _settle(orders: Dict[str, Any]) -> AgentConfig:
    own = Account(
        accounts.user_name(os.getuid()), os.getuid(), os.getgid(), os.environ.get("HOME") or "/"
    )
    switches = own.uid == 0
    who = _wanted(orders.get("user"), own) if switches else _only(orders.get("user"), own)
    if switches:
        _try_to_be(who)
    workdir = orders.get("workdir") or (who.home if os.path.isdir(who.home) else "/")
    _make_directory(workdir, who)
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    env.update(orders.get("env") or {})
    return AgentConfig(
        workdir=workdir,
        user=who.name,
        uid=who.uid,
        gid=who.gid,
        home=who.home,
        shell=orders.get("shell") or "",
        path=env.get("PATH") or DEFAULT_PATH,
        env=env,
        can_switch_user=switches,
        fork_python=False,
    )


def _wanted(name: Optional[str], own: Account) -> Account:
    """Who is meant, where everybody can be: the usual user, unless another is named."""
    if name is not None:
        return accounts.find(name)
    for usual in _USERS:
        try:
            found = accounts.find(usual)
        except OpError:
            continue
        if found.name != str(found.uid):
            return found
    return own


def _only(name: Optional[str], own: Account) -> Account:
    if name is None or name in (own.name, str(own.uid)):
        return own
    raise ValueError("commands run as %s here, and as nobody else" % own.name)


def _try_to_be(who: Account) -> None:
    try:
        with accounts.Acting(who, real=True):
            pass
    except (OpError, OSError) as error:
        raise ValueError("root cannot act for %s here: %s" % (who.name, error)) from error


def _make_directory(path: str, who: Account) -> None:
    if os.path.isdir(path):
        return
    os.makedirs(path, 0o755)
    if os.geteuid() == 0:
        os.chown(path, who.uid, who.gid)


def _ready() -> None:
    _say({"event": "ready"})
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _say(message: Dict[str, str]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
