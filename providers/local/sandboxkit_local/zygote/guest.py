"""A fork of the zygote on its way to being the agent: first process of a sandbox.

The order matters. Everything that needs rights over namespaces is done with the zygote's, before
the user namespace is made: so the sandbox's user namespace owns none of the others.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from sandboxkit_local import wire
from sandboxkit_local.jail import (
    foreign_root,
    landlock,
    limits,
    mount_points,
    network,
    sandbox_root,
    seal,
    seccomp,
    syscalls,
    unpack,
)
from sandboxkit_local.jail.idmap import IdMap

from . import agent, people

__all__ = ["Shared", "become"]


@dataclass(frozen=True)
class Shared:
    """What the zygote found out once for all its guests.

    Attributes:
        ids: the id map.
        binds: the template's directories.
        masks: what to hide below ``/proc``.
        last_capability: the kernel's highest.
        filter: the compiled system call filter.
        landlock: the kernel's version of it; 0 without.
        own_pids: a descriptor of the zygote's pid namespace.
    """

    ids: IdMap
    binds: tuple[str, ...]
    masks: sandbox_root.Masks
    last_capability: int
    filter: ctypes.Structure
    landlock: int
    own_pids: int


def become(
    message: dict[str, Any],
    fds: list[int],
    lower: str,
    handshake: socket.socket,
    shared: Shared,
    *,
    placed: bool,
) -> NoReturn:
    """Turn this process, just forked, into the agent of a new sandbox, and serve until it ends.

    Args:
        message: what the daemon wants.
        fds: what came with it; ``message["fds"]`` says what each is.
        lower: the directories that are the lower layers of the root.
        handshake: to ask the zygote for our ids.
        shared: what is the same for all.
        placed: whether we were born in the group that the sandbox is paused by.
    """
    status = 1
    by_role: dict[str, list[int]] = {}
    for role, fd in zip(message["fds"], fds, strict=True):
        by_role.setdefault(role, []).append(fd)
    control = socket.socket(fileno=by_role["control"][0])
    try:
        syscalls.die_with_parent()
        _close_all_but({0, 1, 2, handshake.fileno(), *fds})
        _join(by_role, placed=placed)
        upper = _enter(message, by_role, lower, handshake, shared)
        if message["rootfs"]:
            people.settle(message["agent"])
        if message["outlet"] is not None:
            network.offer_outlet(control, message["outlet"])
        if not message["unclaimed"]:
            _make_workdir(**{name: message["agent"][name] for name in ("workdir", "uid", "gid")})
        status = _serve(message, control, by_role.get("connection", []), upper)
    except unpack.TooLargeError as error:
        hint = f"it has {message['disk']} bytes; ask for more with resources disk=..."
        _refuse(control, str(error), hint)
    except (_WorkdirError, mount_points.MountPointError, people.UnknownError) as error:
        _refuse(control, str(error), None)
    except OSError as error:
        fields = {"event": "failed", "errno": error.errno, "message": str(error)}
        wire.send(control, fields)
    finally:
        if sys.exc_info()[0] is not None:
            _report(control)
        os._exit(status)


def _join(by_role: dict[str, list[int]], *, placed: bool) -> None:
    """Enter the groups that bound and pause the sandbox."""
    groups = by_role.get("cgroup", [])
    if not placed:
        groups = groups + by_role.get("freezer", [])
    for fd in groups:
        os.write(fd, b"0")
    for role in ("birth", "cgroup", "freezer"):
        wire.close_all(by_role.get(role, ()))


class _WorkdirError(Exception):
    """The working directory that was asked for cannot be."""


def _refuse(control: socket.socket, message: str, hint: str | None) -> None:
    """Say that the request is wrong, which became clear only now."""
    wire.send(control, _refusal(message, hint))


def _refusal(message: str, hint: str | None) -> dict[str, Any]:
    return {"event": "failed", "code": "invalid_request", "message": message, "hint": hint}


def _make_workdir(workdir: str, uid: int, gid: int) -> None:
    """Make the working directory, the user's, if it is not there."""
    try:
        if os.path.isdir(workdir):
            return
        os.makedirs(workdir, 0o755)
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.chown(workdir, uid, gid, follow_symlinks=False)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise _WorkdirError(f"workdir {workdir!r} cannot be made: {reason}") from None


def _report(control: socket.socket) -> None:
    """Say how it came to an end that should not be."""
    with contextlib.suppress(OSError):
        wire.send(control, {"event": "failed", "message": traceback.format_exc(limit=-4)[-2000:]})


def _enter(
    message: dict[str, Any],
    by_role: dict[str, list[int]],
    lower: str,
    handshake: socket.socket,
    shared: Shared,
) -> int:
    """Shut ourselves in; returns a descriptor of the directory that holds the changes."""
    ids = shared.ids
    ours = ids.sandbox(message["slot"], message["own"])
    os.setsid()
    syscalls.unshare(
        syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWCGROUP
    )
    socket.sethostname(message["hostname"])
    network.loopback_up()
    if "rootfs" in by_role:
        foreign_root.attach(by_role["rootfs"].pop())
    snapshot = by_role.get("snapshot")
    fill = (
        unpack.filler(snapshot[0], ids, ours.inner, shared.last_capability, shared.filter)
        if snapshot
        else None
    )
    mounted = sandbox_root.enter(
        lower=lower,
        binds=shared.binds,
        masks=shared.masks,
        ids=ours,
        disk=message["disk"],
        fill=fill,
        mounts=dict(zip(message["mounts"], by_role.get("mount", ()), strict=True)),
    )
    network.allow_low_ports(mounted.proc_sys)
    _silence()
    _change_user(ids, handshake)
    limits.apply(message["pids"])
    seal.forbid_user_namespaces(mounted.proc_sys)
    seal.bound_watches(mounted.proc_sys)
    os.close(mounted.proc_sys)
    # With one id there is nobody else to act as, and the file API must not see more than the user.
    kept = frozenset() if ids.kind == "single" else seal.AGENT_CAPABILITIES
    seal.seal(shared.last_capability, kept=kept)
    syscalls.die_with_parent()  # the change of ids has undone it
    agent.refresh_random()
    _confine(mounted.upper, shared.landlock)
    seccomp.install(shared.filter)
    return mounted.upper


def _confine(upper: int, known: int) -> None:
    # Message queues are reached by name through a mount of the kernel's own, which is below no root
    # of ours, though what it shows is what is in this directory.
    roots = [
        os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in ("/", "/dev/mqueue")
    ]
    try:
        landlock.confine((*roots, upper), known)
    finally:
        wire.close_all(roots)


def _change_user(ids: IdMap, handshake: socket.socket) -> None:
    syscalls.set_dumpable(True)  # else nobody below the host's root could write our map
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    wire.send(handshake, {})
    if wire.receive(handshake) is None:
        raise OSError("the zygote hung up")
    handshake.close()
    if ids.kind != "single":  # the kernel forbids it there
        os.setgroups([])
    os.setresgid(ids.root_id, ids.root_id, ids.root_id)
    os.setresuid(ids.root_id, ids.root_id, ids.root_id)


def _silence() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _close_all_but(kept: set[int]) -> None:
    low = 0
    for fd in sorted(kept):
        if low < fd:  # else it would close everything
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _serve(
    message: dict[str, Any], control: socket.socket, connections: list[int], upper: int
) -> int:
    module = agent.load()
    config = module.AgentConfig(upper_fd=upper, **message["agent"])
    sockets = [socket.socket(fileno=fd) for fd in connections]
    settle = _settle if message["unclaimed"] else None
    module.serve(config, control=control, connections=sockets, settle=settle)
    return 0


def _settle(config: Any) -> dict[str, Any] | None:
    """Make ready what is known of a prepared sandbox only once it is somebody's."""
    try:
        _make_workdir(config.workdir, config.uid, config.gid)
    except _WorkdirError as error:
        return _refusal(str(error), None)
    return None
