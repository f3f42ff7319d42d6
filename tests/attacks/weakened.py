"""A zygote whose sandboxes lack the defences that each of them names: for controls, and only here.

Runs in place of `sandboxkit_local.zygote.launcher`. What belongs to all sandboxes of a zygote is
always gone here: its network is the host's, its ids are the host's own, the host's files are
below its root. What a sandbox has of its own is there unless its variable `WITHOUT` names it.
So nothing but the defences that are left keeps an attack from succeeding.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib
import os
from collections.abc import Callable
from typing import Any

from sandboxkit_local.jail import (
    idmap,
    landlock,
    limits,
    network,
    sandbox_root,
    seal,
    seccomp,
    syscalls,
    template_root,
)
from sandboxkit_local.zygote import agent, guest, launcher, server

from . import impostor

__all__ = ["WITHOUT", "Module", "main"]

WITHOUT = "SANDBOXKIT_TEST_WITHOUT"
LEAKED = "SANDBOXKIT_TEST_LEAKED"
"""Names the descriptor of the host's root that a mistake has left open."""

_INTERNAL = template_root.INTERNAL
_NAMESPACES = {
    "network": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "host name": syscalls.CLONE_NEWUTS,
    "cgroup namespace": syscalls.CLONE_NEWCGROUP,
}


def _nothing(*_arguments: object, **_options: object) -> None:
    pass


def main(control_fd: int, daemon_pid: int) -> int:
    """As the launcher's, but for what is missing."""
    _share_network()
    _show_host()
    _leak_host()
    _patch_zygote()
    return launcher.main(control_fd, daemon_pid)


def _share_network() -> None:
    unshare = syscalls.unshare
    launcher.syscalls = _Syscalls(lambda flags: unshare(flags & ~syscalls.CLONE_NEWNET))


class Module:
    """A module with some of its names otherwise."""

    def __init__(self, module: Any, **others: Any) -> None:
        self._module = module
        vars(self).update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Syscalls:
    """The module with another `unshare`."""

    def __init__(self, unshare: Callable[[int], None]) -> None:
        self.unshare = unshare

    def __getattr__(self, name: str) -> Any:
        return getattr(syscalls, name)


def _show_host() -> None:
    """Keep the host's files below the zygote's root, for sandboxes without the defence `view`."""
    build, pivot = template_root.build, template_root.pivot_here
    trees: list[int] = []

    def take(*arguments: Any) -> None:
        trees.append(syscalls.open_tree(os.open("/", os.O_PATH | os.O_DIRECTORY)))
        build(*arguments)

    def show() -> None:
        target = f"{os.getcwd()}{_INTERNAL}/host"
        os.mkdir(target)
        syscalls.move_mount(trees.pop(), os.open(target, os.O_PATH | os.O_DIRECTORY))
        pivot()

    template_root.build = take
    template_root.pivot_here = show


def _leak_host() -> None:
    opened = template_root.open_sources

    def leak(paths: Any) -> Any:
        fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(fd, True)
        os.environ[LEAKED] = str(fd)
        return opened(paths)

    template_root.open_sources = leak


def _without(message: dict[str, Any]) -> frozenset[str]:
    return frozenset(message["agent"]["env"].get(WITHOUT, "").split(",")) - {""}


class _Ids:
    """The id map; in a sandbox without a defence by ids, root is who runs the daemon."""

    def __init__(self, ids: idmap.IdMap) -> None:
        self._ids = ids
        self.exposed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ids, name)

    def sandbox(self, slot: int, own: int | None = None) -> idmap.SandboxIds:
        if not self.exposed or self._ids.kind == "single":
            return self._ids.sandbox(slot, own)
        if self._ids.kind == "subordinate":
            return self._ids.sandbox(slot, 0)  # root is the user outside
        return idmap.SandboxIds(0, 1000, 5, f"0 0 {idmap.RANGE}")


def _patch_zygote() -> None:
    initialise, spawn, fork, become = (
        server.Zygote.__init__,
        server.Zygote._spawn,
        server.Zygote._fork,
        guest.become,
    )

    def with_ids(self: Any, control: Any, settings: Any, ids: Any, skeleton: Any) -> None:
        initialise(self, control, settings, _Ids(ids), skeleton)

    def spawn_exposed(self: Any, message: dict[str, Any], fds: list[int]) -> None:
        self._ids.exposed = "ids" in _without(message)
        spawn(self, message, fds)

    def fork_beside(self: Any, message: dict[str, Any], *rest: Any) -> int:
        if "processes" not in _without(message):
            return fork(self, message, *rest)
        pid = os.fork()
        if pid == 0:
            try:
                guest.become(message, *rest, self._shared, placed=False)
            finally:
                os._exit(1)
        return pid

    def become_weaker(
        message: Any, fds: Any, skeleton: Any, handshake: Any, shared: Any, **also: Any
    ) -> Any:
        gone = _without(message)
        if "masks" in gone:
            shared = dataclasses.replace(shared, masks=sandbox_root.Masks((), (), ()))
        for name in gone:
            _REMOVE[name]()
        return become(message, fds, skeleton, handshake, shared, **also)

    server.Zygote.__init__ = with_ids
    server.Zygote._spawn = spawn_exposed
    server.Zygote._fork = fork_beside
    guest.become = become_weaker


# -- removing one defence from the process that is about to become a sandbox ---------------------


def _no_capability_is_dropped() -> None:
    def keep(last_capability: int, *, kept: object = None) -> None:
        everything = (1 << (last_capability + 1)) - 1
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        low, high = everything & 0xFFFFFFFF, everything >> 32
        data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
        syscalls._syscall("capset", ctypes.byref(header), ctypes.byref(data))
        for capability in range(last_capability + 1):
            syscalls.prctl(47, 2, capability)  # ambient: kept by what is executed
        syscalls.prctl(38, 1)  # the filter needs no-new-privileges

    seal.seal = keep


def _namespaces_are_owned() -> None:
    """Make the sandbox's user namespace the owner of its other namespaces, as is usual."""
    change = guest._change_user

    def change_and_own(*arguments: Any) -> None:
        change(*arguments)
        syscalls.unshare(
            syscalls.CLONE_NEWNS
            | syscalls.CLONE_NEWIPC
            | syscalls.CLONE_NEWUTS
            | syscalls.CLONE_NEWNET
            | syscalls.CLONE_NEWCGROUP
        )

    guest._change_user = change_and_own


def _namespace_is_shared(flag: int) -> Callable[[], None]:
    def remove() -> None:
        unshare = guest.syscalls.unshare
        guest.syscalls = _Syscalls(lambda flags: unshare(flags & ~flag))
        if flag == syscalls.CLONE_NEWNET:
            network.loopback_up = network.allow_low_ports = _nothing
        if flag == syscalls.CLONE_NEWUTS:
            guest.socket.sethostname = _nothing

    return remove


def _host_is_in_view() -> None:
    pivot = sandbox_root.pivot_here

    def show() -> None:
        target = os.getcwd() + "/mnt"
        syscalls.mount(_INTERNAL + "/host", target, None, syscalls.MS_BIND | syscalls.MS_REC)
        pivot()

    sandbox_root.pivot_here = show


def _template_is_writable() -> None:
    pivot = sandbox_root.pivot_here

    def reopen() -> None:
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount(None, os.getcwd() + "/usr", None, flags)
        pivot()

    sandbox_root.pivot_here = reopen


def _agent_is_open() -> None:
    seal.set_dumpable = _nothing
    module = agent.load()
    settle = module._settle_in

    def settle_visibly() -> None:
        settle()
        syscalls.set_dumpable(True)

    module._settle_in = settle_visibly


def _agent_acts_as_root() -> None:
    """In what it does itself; what it starts is its user's."""
    server_class = agent.load().Server
    acting = server_class.acting
    server_class.acting = lambda self, account, real=False: (
        acting(self, account, real=True) if real else contextlib.nullcontext()
    )


def _environment_is_handed_down() -> None:
    module = agent.load()
    build = module.Server.environment
    module.Server.environment = lambda self, account, extra: {
        **os.environ,
        **build(self, account, extra),
    }


def _descriptors_stay() -> None:
    guest._close_all_but = _nothing
    agent.load()._close_on_exec = _nothing


def _part_of_agent(name: str) -> Any:
    return importlib.import_module(f"{agent.load().__package__}.{name}")


def _links_are_followed() -> None:
    _part_of_agent("beneath").os = Module(os, O_NOFOLLOW=0)


def _removal_follows_links() -> None:
    _part_of_agent("filewalk")._INTO &= ~os.O_NOFOLLOW


def _opening_waits() -> None:
    reading = _part_of_agent("fileread")
    reading.os = Module(os, O_NONBLOCK=0)
    reading._check_regular = _nothing


def _files_are_written_in_place() -> None:
    def copy(source: bytes, target: bytes) -> None:
        with open(source, "rb") as new, open(target, "wb") as old:
            old.write(new.read())
        os.unlink(source)

    _part_of_agent("filewrite").os = Module(os, rename=copy)


def _partial_files_are_anybodys() -> None:
    store = _part_of_agent("treestore")
    store._open_left_over = lambda parent, name: os.open(name, store._OPEN_PART, dir_fd=parent)


def _impostor_serves() -> None:
    module = agent.load()

    def serve(config: Any, control: Any, connections: Any, settle: Any = None) -> None:
        impostor.serve(config.env, control, connections)

    module.serve = serve


def _silence(module: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(module, name, _nothing)


_REMOVE: dict[str, Callable[[], None]] = {
    "agent": _impostor_serves,
    "agent users": _agent_acts_as_root,
    "beneath": _links_are_followed,
    "capabilities": _no_capability_is_dropped,
    "descriptors": _descriptors_stay,
    "descriptors closed": _nothing,  # by the daemon, as is the next
    "lifetime": _nothing,
    "environment": _environment_is_handed_down,
    "filter": _silence(seccomp, "install"),
    "hidden agent": _agent_is_open,
    "ids": _nothing,
    "landlock": _silence(landlock, "confine"),
    "limits": _silence(limits, "apply"),
    "masks": _nothing,
    "non-blocking": _opening_waits,
    "nesting": _silence(seal, "forbid_user_namespaces"),
    "ownership": _namespaces_are_owned,
    "partial files of ones own": _partial_files_are_anybodys,
    "processes": _nothing,
    "removal by descriptor": _removal_follows_links,
    "read only": _template_is_writable,
    "renamed into place": _files_are_written_in_place,
    "terminal count": lambda: setattr(sandbox_root, "_TERMINALS", 1 << 20),
    "view": _host_is_in_view,
    "watch count": _silence(seal, "bound_watches"),
    **{name: _namespace_is_shared(flag) for name, flag in _NAMESPACES.items()},
}
