"""The first process of a container: reads its orders, settles in, and becomes the agent.

The orders are one line of JSON on standard input, so that nothing of them is in the container's
configuration, which engines show and images keep. It answers with one line on standard output:
``{"event": "ready"}`` or ``{"event": "failed", "message": ...}``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Dict, List, NoReturn

from sandboxkit.guest.agent import pausing
from sandboxkit.guest.agent.accounts import Account
from sandboxkit.guest.agent.config import DEFAULT_PATH, AgentConfig
from sandboxkit.guest.agent.serve import serve
from sandboxkit.guest.agent.server import Server

from . import account, door, outlet, rights
from .orders import read_orders, say, wait_for_word

__all__ = ["main"]

_WRAPPER = "python"
_FAREWELL = 3.0  # seconds after which nobody listens to our standard output any more


def main() -> NoReturn:
    """Serve until the sandbox ends."""
    orders = read_orders()
    try:
        who = account.find(orders["user"])
        config = _settle(orders, who)
        rights.keep_to_ourselves()
    except (account.RefusedError, OSError) as error:
        say({"event": "failed", "message": str(error)})
        os._exit(1)
    # Held for as long as we live: its end is what the proxy takes for ours.
    way_out = outlet.offer(orders["outlet"]) if orders["outlet"] else None
    listen = sys.argv[1]
    os.makedirs(os.path.dirname(listen), 0o700, exist_ok=True)
    serve(
        config,
        listen=listen,
        admit=door.is_from_outside,
        ready=lambda: _ready(listen),
        extend=_extend,
    )
    del way_out
    os._exit(0)


def _ready(listen: str) -> None:
    # The one who owns the directory on the host is the one who may connect from there.
    owner = os.stat(os.path.dirname(listen))
    if owner.st_uid != os.getuid():
        os.chown(listen, owner.st_uid, owner.st_gid)
    say({"event": "ready"})
    _silence(0)


def _extend(server: Server) -> None:
    pausing.install(server)
    server.loop.call_later(_FAREWELL, _take_leave)


def _take_leave() -> None:
    # Who gave us our orders has hung up. Those in between, such as a `docker system dial-stdio` on
    # the engine's machine, learn that only when there is something to pass on.
    with contextlib.suppress(OSError):
        os.write(1, b"\n")
    _silence(1)


def _silence(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)


def _settle(orders: Dict[str, Any], who: Account) -> AgentConfig:
    workdir = orders["workdir"] or os.getcwd()
    if workdir == "/" and not orders["workdir"]:
        workdir = who.home
    account.make_directory(who.home, who)
    _await_mounts(orders["mounts"], who)
    account.make_directory(workdir, who)
    path = os.environ.get("PATH") or DEFAULT_PATH
    python = _find_python(path)
    if not python:
        # Through the image's shell, as the interpreter itself needs its own loader.
        sys.executable = os.path.join(os.path.dirname(sys.executable), _WRAPPER)
    return AgentConfig(
        workdir=workdir,
        user=who.name,
        uid=who.uid,
        gid=who.gid,
        home=who.home,
        shell=orders["shell"],
        path=orders["env"].get("PATH", path),
        env={**_image_variables(), **orders["env"]},
        lifetime=orders["lifetime"],
        idle_timeout=orders["idle_timeout"],
        can_switch_user=True,
        python=python or sys.executable,
    )


def _await_mounts(targets: List[str], who: Account) -> None:
    """Make what is mounted on, and wait until it is."""
    if not targets:
        return
    for target in targets:
        # One within another is in what is mounted there.
        if not any(target.startswith(other + "/") for other in targets):
            account.make_directories(target, who)
    say({"event": "mounts", "uid": who.uid, "gid": who.gid})
    wait_for_word()


def _image_variables() -> Dict[str, str]:
    # HOME and HOSTNAME are the engine's, and HOME is root's.
    return {name: value for name, value in os.environ.items() if name not in ("HOME", "HOSTNAME")}


def _find_python(path: str) -> str:
    """The image's own interpreter; empty if it has none."""
    for name in ("python3", "python"):
        for directory in path.split(":"):
            found = os.path.join(directory, name)
            if directory.startswith("/") and os.access(found, os.X_OK) and os.path.isfile(found):
                return found
    return ""
