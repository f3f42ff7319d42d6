"""The first process of a template: it makes the outer namespaces, then waits for their init.

Executed clean by the daemon, with a control socket as its only descriptor beside the standard
three. See `docs/internals/local.md`.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import traceback
from typing import Any, NoReturn

from sandboxkit_local import wire
from sandboxkit_local.jail import foreign_root, skeleton, syscalls, template_root
from sandboxkit_local.jail.idmap import IdMap

from . import agent, server

__all__ = ["main"]


def main(control_fd: int, daemon_pid: int) -> int:
    """Run until the zygote ends; its exit status.

    Args:
        control_fd: the socket to the daemon.
        daemon_pid: who must be our parent; else it is dead already.
    """
    syscalls.die_with_parent()
    os.umask(0o022)
    if os.getppid() != daemon_pid:
        return 1
    control = socket.socket(fileno=control_fd)
    first = wire.receive(control)
    if first is None:
        return 1
    try:
        return _launch(control, first[0])
    except foreign_root.RefusedError as error:
        wire.send(control, _refusal(error))
        return 1
    except OSError as error:
        wire.send(
            control,
            {"event": "failed", "errno": error.errno, "message": error.strerror or str(error)},
        )
        return 1


def _refusal(error: foreign_root.RefusedError) -> dict[str, Any]:
    fields = {"code": "invalid_request", "message": str(error), "hint": error.hint}
    return {"event": "failed", **fields}


def _launch(control: socket.socket, settings: dict[str, Any]) -> int:
    agent.load()
    ids = IdMap.load(settings["ids"])
    binds: list[str] = settings["binds"]
    plan = skeleton.plan(binds, settings["links"], settings.get("files", ()))
    trees = {path: path for path in binds}
    if settings.get("rootfs"):
        trees |= foreign_root.guest_parts(agent.directory())
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    wire.send(control, {"event": "unshared"})
    if wire.receive(control) is None:  # the daemon has written the maps, or died
        return 1
    syscalls.unshare(
        syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWPID
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWNET
    )
    sources = template_root.open_sources(trees)
    root = foreign_root.open_root(settings.get("rootfs"))
    alive, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        _run_init(control, settings, ids, sources, plan, alive, root)
    control.close()
    become_root(ids)
    syscalls.die_with_parent()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def become_root(ids: IdMap) -> None:
    """Be id 0 of the user namespace we are in, in no other group."""
    if ids.kind != "single":  # the kernel forbids it there
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _run_init(
    control: socket.socket,
    settings: dict[str, Any],
    ids: IdMap,
    sources: template_root.Sources,
    plan: skeleton.Skeleton,
    alive: int,
    root: foreign_root.Root | None,
) -> NoReturn:
    status = 1
    try:
        become_root(ids)
        syscalls.die_with_parent()
        if select.select([alive], [], [], 0)[0]:  # end of file: the launcher died before that
            os._exit(1)
        os.close(alive)
        template_root.build(sources, plan)
        if root is not None:
            agent.moved(foreign_root.AGENT)
            root.enter(ids)
            plan = skeleton.above_foreign_root()
        status = _init(control, settings, ids, plan)
    except foreign_root.RefusedError as error:
        wire.send(control, _refusal(error))
    except OSError as error:
        wire.send(
            control,
            {"event": "failed", "errno": error.errno, "message": error.strerror or str(error)},
        )
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def _init(
    control: socket.socket, settings: dict[str, Any], ids: IdMap, plan: skeleton.Skeleton
) -> int:
    """Be PID 1: reap what is orphaned, and end when the zygote ends, which ends all the rest."""
    zygote = os.fork()
    if zygote == 0:
        syscalls.die_with_parent()
        # Our parent is PID 1 here; if it died, the kernel is killing us already.
        server.Zygote(control, settings, ids, plan).run()
    control.close()
    while True:
        pid, status = os.wait()
        if pid == zygote:
            return os.waitstatus_to_exitcode(status)
