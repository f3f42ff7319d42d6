"""The zygote: a warm interpreter, single-threaded, that forks a guest per sandbox."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from sandboxkit_local import wire
from sandboxkit_local.jail import foreign_root, landlock, seccomp, syscalls
from sandboxkit_local.jail.idmap import IdMap, SandboxIds
from sandboxkit_local.jail.sandbox_root import Masks
from sandboxkit_local.jail.skeleton import Skeleton
from sandboxkit_local.jail.template_root import INTERNAL

from . import agent, guest

__all__ = ["Zygote"]


@dataclass
class _Child:
    name: str
    ids: SandboxIds
    pid: int
    pidfd: int
    handshake: socket.socket


class Zygote:
    """Serves the daemon until it hangs up.

    Args:
        control: the socket to the daemon.
        settings: the template, as the daemon sent it.
        ids: the id map.
        skeleton: what every sandbox's lowest layer looks like.
    """

    def __init__(
        self, control: socket.socket, settings: dict[str, Any], ids: IdMap, skeleton: Skeleton
    ) -> None:
        self._control = control
        self._settings = settings
        self._ids = ids
        self._skeleton = skeleton
        self._selector = selectors.EpollSelector()
        self._children: dict[int, _Child] = {}
        self._skeletons: set[str] = set()
        self._can_place = True

    def run(self) -> NoReturn:
        """Warm up, say so, then fork until told to stop or the daemon is gone."""
        status = 1
        try:
            self._warm_up()
            wire.send(self._control, {"event": "ready"})
            self._serve()
            status = 0
        except ImportError as error:
            wire.send(self._control, {"event": "failed", "message": f"preload: {error}"})
        finally:
            if status and sys.exc_info()[0] is not None:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)

    def _warm_up(self) -> None:
        for name in self._settings["preload"]:
            importlib.import_module(name)
        agent.warm()
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            last = file.read()
        self._shared = guest.Shared(
            ids=self._ids,
            binds=tuple(self._settings["binds"]),
            masks=Masks.look(),
            last_capability=int(last),
            filter=seccomp.prepare(),
            landlock=landlock.version(),
            own_pids=os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC),
        )
        agent.hide_stand_ins()
        gc.collect()
        gc.freeze()

    def _serve(self) -> None:
        self._selector.register(self._control, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    received = wire.receive(self._control)
                    if received is None:
                        return
                    self._spawn(*received)
                elif key.fileobj is key.data.handshake:
                    self._map_ids(key.data)
                else:
                    self._reap(key.data)

    def _spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        name = message["id"]
        try:
            ids = self._ids.sandbox(message["slot"], message["own"])
            lower = self._lower_of(ids)
            ours, theirs = wire.pair()
            with ours, theirs:
                pid = self._fork(message, fds, lower, theirs)
                child = _Child(name, ids, pid, os.pidfd_open(pid), ours.dup())
        except OSError as error:
            wire.send(self._control, {"event": "failed", "id": name, "message": str(error)})
            return
        finally:
            wire.close_all(fds)
        self._children[pid] = child
        self._selector.register(child.handshake, selectors.EVENT_READ, child)
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)
        wire.send(self._control, {"event": "spawned", "id": name}, [child.pidfd])

    def _fork(
        self, message: dict[str, Any], fds: list[int], lower: str, handshake: socket.socket
    ) -> int:
        syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            pid, placed = self._fork_into(dict(zip(message["fds"], fds, strict=True)).get("birth"))
            if pid == 0:
                try:
                    guest.become(message, fds, lower, handshake, self._shared, placed=placed)
                finally:  # whatever happens, a child must never go on as the zygote
                    os._exit(1)
        finally:
            syscalls.setns(self._shared.own_pids, syscalls.CLONE_NEWPID)
        return pid

    def _fork_into(self, group: int | None) -> tuple[int, bool]:
        """Fork; also whether the child was born in its group, or has still to join it."""
        if group is not None and self._can_place:
            try:
                return syscalls.fork_into(group), True
            except OSError as error:
                self._can_place = False
                print(f"sandboxes join their groups: {error}", file=sys.stderr, flush=True)
        return os.fork(), False

    def _map_ids(self, child: _Child) -> None:
        """Answer a guest that has made its user namespace and waits for its ids."""
        try:
            received = wire.receive(child.handshake)
            if received is not None:
                for name in ("uid_map", "gid_map"):
                    _write(f"/proc/{child.pid}/{name}", child.ids.inner)
                wire.send(child.handshake, {})
        except OSError as error:  # it died, or is about to; the daemon hears of that from its end
            print(f"the ids of {child.name}: {error}", file=sys.stderr, flush=True)
        self._selector.unregister(child.handshake)
        child.handshake.close()

    def _reap(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.handshake)
        child.handshake.close()
        del self._children[child.pid]
        code = os.waitstatus_to_exitcode(status)
        wire.send(self._control, {"event": "ended", "id": child.name, "status": code})

    def _lower_of(self, ids: SandboxIds) -> str:
        """The layers below a sandbox's own, for an overlay."""
        above = self._skeleton_of(ids)
        root = self._settings.get("rootfs")
        if not root:
            return f"{above}:{INTERNAL}/copies"
        if root["stamp"] is not None and self._ids.kind == "root":
            return f"{above}:{foreign_root.shown_as(ids)}"
        return f"{above}:{foreign_root.PLACE}"

    def _skeleton_of(self, ids: SandboxIds) -> str:
        path = f"{INTERNAL}/skeletons/{ids.root}-{ids.user}"
        if path not in self._skeletons:
            os.mkdir(path, 0o755)
            os.chown(path, ids.root, ids.root)
            self._skeleton.make(path, ids.root, user=ids.user)
            self._skeletons.add(path)
        return path


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
