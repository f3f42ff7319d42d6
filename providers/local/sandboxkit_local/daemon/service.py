"""What the daemon does: making, finding and ending sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from sandboxkit.errors import (
    InvalidRequestError,
    ProviderUnavailableError,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
    UnsupportedError,
)
from sandboxkit_local import codes, wire
from sandboxkit_local.jail.cgroup import Cgroups, Limits
from sandboxkit_local.jail.freezer import Freezer, Freezers
from sandboxkit_local.jail.idmap import IdMap
from sandboxkit_local.peer import Peer

from . import forking, mounting
from .egress import Egress, proxy_user
from .pausing import Over, Pausing
from .prepared import Prepared, shape
from .registry import Registry, Sandbox
from .slots import Slots
from .snapshots import VERDICT, SnapshotStore
from .waiting import is_readable, outlast
from .zygotes import Zygotes

__all__ = ["Service"]

T = TypeVar("T")
Keep = Callable[[int, asyncio.Future[dict[str, Any]], int], Awaitable[T]]

_log = logging.getLogger(__name__)

GUARD = 2.0
"""Seconds after a sandbox's end at which it is killed if it has not ended itself."""

_LAST_BREATH = 2.0  # seconds that zygotes have to be gone once they were killed
_LONGEST_TIMER = 86_400.0
_LONGEST_LIFETIME = 10 * 366 * 86_400  # seconds; a guest that claims more is not believed


class Service:
    """The operations, whoever asks for them.

    Args:
        ids: how host ids are given out.
        cgroups: where limits can be set, if anywhere.
        freezers: where sandboxes can be paused, if anywhere.
        snapshots: where snapshots are kept.
        zygotes: what sandboxes are forked from.
        prepare: whether one more sandbox is kept ready.
    """

    def __init__(
        self,
        ids: IdMap,
        cgroups: Cgroups | None,
        freezers: Freezers | None,
        snapshots: SnapshotStore,
        zygotes: Zygotes,
        *,
        prepare: bool = True,
    ) -> None:
        self.registry = Registry()
        self.pausing = Pausing(self.registry, self._tell, self._guard)
        self.snapshots = snapshots
        self.zygotes = zygotes
        self._cgroups = cgroups
        self._ids = ids
        self._freezers = freezers
        self._removing: set[asyncio.Task[bool]] = set()
        self._slots = Slots(ids.slots)
        self.prepared = Prepared(self._prepare, enabled=prepare)

    # -- making -------------------------------------------------------------------------------

    async def create(self, message: dict[str, Any]) -> tuple[Sandbox, socket.socket]:
        """Make a sandbox, or find the one this nonce has made already.

        Returns:
            The sandbox, ready, and a connection to its guest.

        Raises:
            SandboxError: it cannot be made; nothing is left of it.
        """
        known = self.registry.nonces.get(message["nonce"])
        if known is not None:
            await asyncio.shield(known.ready)
            return known, await self.connect(known.id)
        template, archive = message["template"], None
        if message["snapshot"] is not None:
            record = self.snapshots.get(message["snapshot"])
            if template is None:
                template = record["template"]
                message["agent"] |= {"path": template["path"], "python": template["executable"]}
                if template.get("rootfs"):
                    message["agent"]["shell"] = message["info"]["shell"] = ""
            archive = self.snapshots.open(message["snapshot"])
        try:
            return await self._build(message, template, archive)
        finally:
            if archive is not None:
                os.close(archive)

    async def fork(self, message: dict[str, Any]) -> list[Sandbox]:
        """Make sandboxes with the files of one that is running, and all it was made with.

        Returns:
            As many as were asked for.

        Raises:
            SandboxNotFoundError: there is no such sandbox, or no longer.
            SandboxPausedError: it is paused.
            RateLimitError: there is no room for so many; none was begun.
            SandboxError: one could not be made; none is left.
        """
        sandbox = self.registry.running(message["sandbox"])
        self._slots.check(message["count"])

        async def build(order: dict[str, Any], template: dict[str, Any], archive: int) -> Sandbox:
            made, connection = await self._build(order, template, archive)
            connection.close()
            return made

        async with sandbox.snapshotting:
            self.registry.running(sandbox.id)
            archive = await self._saved(sandbox, self.snapshots.hold)
        try:
            return await forking.fork(
                sandbox,
                archive,
                build,
                nonce=message["nonce"],
                count=message["count"],
                labels=message["labels"],
                lifetime=message["lifetime"],
            )
        finally:
            os.close(archive)

    async def _build(
        self, message: dict[str, Any], template: dict[str, Any], archive: int | None
    ) -> tuple[Sandbox, socket.socket]:
        limits = Limits(**message["limits"])
        self._check(limits)
        if message["named"] and not template.get("rootfs"):
            raise InvalidRequestError(
                f"there is no user {message['agent']['user']!r} in the template"
            )
        mounting.check(message["mounts"], template)
        zygote = await self.zygotes.get(template)
        wanted = None if archive is not None else shape(message, template)
        ready = self.prepared.take(wanted)
        self.prepared.expect(wanted, message, template)
        if ready is not None and (taken := await self._hand_over(ready, message)) is not None:
            return ready, taken
        sandbox = self._begin(message, template, zygote)
        trees: list[int] = []
        try:
            trees = await self._mounts(sandbox, message)
            return sandbox, await self._make(sandbox, message, limits, archive, trees)
        except BaseException:
            await self._undo(sandbox)
            raise
        finally:
            wire.close_all(trees)

    async def _prepare(self, message: dict[str, Any], template: dict[str, Any]) -> Sandbox:
        """Make a sandbox that is nobody's, like one that was asked for."""
        order = {
            **message,
            "nonce": f"prepared-{secrets.token_hex(8)}",
            "info": {**message["info"], "labels": {}, "metadata": {}},
            "agent": {**message["agent"], "env": {}, "lifetime": None, "idle_timeout": None},
        }
        zygote = await self.zygotes.get(template)
        sandbox = self._begin(order, template, zygote)
        sandbox.unclaimed = True
        try:
            (await self._make(sandbox, order, Limits(), None, [])).close()
        except BaseException:
            await self._undo(sandbox)
            raise
        return sandbox

    async def _hand_over(self, sandbox: Sandbox, message: dict[str, Any]) -> socket.socket | None:
        """Let a prepared sandbox be what was asked for.

        Returns:
            A connection to its guest; ``None`` if it has died meanwhile, and another must be made.

        Raises:
            SandboxError: it cannot be as it was asked for; nothing is left of it.
        """
        lifetime, now = message["agent"]["lifetime"], time.time()
        expires = None if lifetime is None else now + lifetime
        fixed = {name: sandbox.info[name] for name in ("id", "state", "template")}
        info = {**message["info"], **fixed, "created_at": now, "expires_at": expires}
        info["labels"].setdefault("nonce", message["nonce"])
        self.registry.claim(sandbox, info, message)
        connection, theirs = socket.socketpair()
        try:
            with theirs:
                order = {"do": "settle", "agent": message["agent"]}
                await self._tell(sandbox, order, theirs.fileno())
            await asyncio.shield(sandbox.ready)
        except (TransportError, SandboxNotFoundError, ConnectionError):
            connection.close()
            await self._undo(sandbox)
            return None
        except BaseException:
            connection.close()
            await self._undo(sandbox)
            raise
        self._guard(sandbox)
        return connection

    def _check(self, limits: Limits) -> None:
        missing = set(limits.controllers()) - self.limits()
        # Processes are bounded without a control group too, if less exactly.
        for name in sorted(missing - {"pids"}):
            raise UnsupportedError(
                f"{name} cannot be limited here: there are no writable control groups",
                capability=f"limit_{name}",
                hint="sandboxkit doctor local",
            )

    def limits(self) -> frozenset[str]:
        """Which limits control groups enforce here."""
        return self._cgroups.controllers if self._cgroups is not None else frozenset()

    def _begin(self, message: dict[str, Any], template: dict[str, Any], zygote: Any) -> Sandbox:
        loop = asyncio.get_running_loop()
        now, lifetime = time.time(), message["agent"]["lifetime"]
        info = {
            **message["info"],
            "id": secrets.token_hex(6),
            "state": "running",
            "template": template["name"],
            "created_at": now,
            "expires_at": None if lifetime is None else now + lifetime,
        }
        sandbox = Sandbox(
            id=info["id"],
            info=info,
            template=template,
            slot=self._slots.take(),
            disk=message["disk"],
            zygote=zygote,
            ready=loop.create_future(),
            ended=loop.create_future(),
            order=message,
            lifetime=lifetime,
        )
        info["labels"].setdefault("nonce", message["nonce"])
        self.registry.add(sandbox)
        return sandbox

    async def _make(
        self,
        sandbox: Sandbox,
        message: dict[str, Any],
        limits: Limits,
        archive: int | None,
        trees: list[int],
    ) -> socket.socket:
        control, guest_control = wire.pair()
        connection, guest_connection = socket.socketpair()
        rules: list[str] = message.get("network", [])
        agent, targets = message["agent"], [mount["target"] for mount in message["mounts"]]
        sandbox.control = Peer(
            control,
            lambda said, fds: self._guest_said(sandbox, said, fds),
            lambda error: self._guest_hung_up(sandbox, error),
        )
        roles = [("control", guest_control.detach()), ("connection", guest_connection.detach())]
        feeding: asyncio.Task[None] | None = None
        try:
            if rules:
                sandbox.egress = Egress(rules, proxy_user(self._ids), self.zygotes.digest)
            self._place(sandbox, self._enforced(limits), roles)
            if archive is not None:
                reading, writing = os.pipe()
                roles.append(("snapshot", reading))
                feeding = asyncio.create_task(asyncio.to_thread(_feed, os.dup(archive), writing))
            order = {
                "do": "spawn",
                "id": sandbox.id,
                "slot": sandbox.slot,
                "hostname": message["hostname"] or sandbox.id,
                "disk": message["disk"],
                "pids": message["pids"],
                "agent": agent,
                "mounts": targets,
                "rootfs": bool(sandbox.template.get("rootfs")),
                "outlet": message["outlet"] if rules else None,
                "own": agent["uid"] if targets else None,
                "unclaimed": sandbox.unclaimed,
                "fds": [role for role, _ in roles]
                + ["rootfs"] * (len(trees) - len(targets))
                + ["mount"] * len(targets),
            }
            sandbox.zygote.spawn(
                order,
                [*(fd for _, fd in roles), *trees],
                lambda said, fds: self._zygote_said(sandbox, said, fds),
            )
        except (OSError, wire.Garbage) as error:
            connection.close()
            if isinstance(error, SandboxError):
                raise
            raise TransportError(
                f"the sandbox could not be made: {error}", outcome="not_started"
            ) from error
        finally:
            wire.close_all(fd for _, fd in roles)
        try:
            await asyncio.shield(sandbox.ready)
            if feeding is not None:
                await feeding
            if sandbox.egress is not None:
                await sandbox.egress.serve()
        except BaseException:
            connection.close()
            raise
        self._guard(sandbox)
        return connection

    async def _mounts(self, sandbox: Sandbox, message: dict[str, Any]) -> list[int]:
        root = mounting.own_root(sandbox.template, self._ids, sandbox.slot)
        if not root and not message["mounts"]:
            return []
        owners = mounting.stand_in(self._ids, sandbox.slot, message["agent"])
        return await mounting.detached([*root, *message["mounts"]], owners, self.zygotes.digest)

    def _place(self, sandbox: Sandbox, limits: Limits, roles: list[tuple[str, int]]) -> None:
        """Make its groups; adds descriptors by which its first process gets into them."""
        if limits.controllers() and self._cgroups is not None:
            sandbox.cgroup = self._cgroups.make(sandbox.id, limits)
            roles += [("cgroup", fd) for fd in sandbox.cgroup.open()]
            if self._freezers is not None and self._cgroups.unified:  # a process is in one only
                sandbox.freezer = Freezer(sandbox.cgroup.directories[0])
        if self._freezers is not None and sandbox.freezer is None:
            sandbox.freezer = self._freezers.make(sandbox.id)
            roles += zip(("birth", "freezer"), sandbox.freezer.open(), strict=True)

    def _enforced(self, limits: Limits) -> Limits:
        within = {name: getattr(limits, name) for name in limits.controllers()}
        return Limits(**{name: value for name, value in within.items() if name in self.limits()})

    async def _undo(self, sandbox: Sandbox) -> None:
        sandbox.strike("killed")
        if not sandbox.ended.done() and not sandbox.zygote.knows(sandbox.id):
            self._bury(sandbox)  # it was never begun
        await asyncio.shield(sandbox.ended)

    # -- what others say ----------------------------------------------------------------------

    def _zygote_said(self, sandbox: Sandbox, message: dict[str, Any], fds: list[int]) -> None:
        event = message["event"]
        if event == "spawned" and fds:
            sandbox.pidfd = fds.pop()
            if sandbox.cause is not None:  # ended before we knew how
                sandbox.strike(sandbox.cause)
        elif event == "failed":
            sandbox.fail(_failure(message))
            self._bury(sandbox)
        elif event == "ended":
            if sandbox.control is not None:
                sandbox.control.drain()
            if not sandbox.ready.done():
                _log.warning("sandbox %s died early: %s", sandbox.id, message.get("status"))
            self._ended(sandbox)
        wire.close_all(fds)

    def _ended(self, sandbox: Sandbox) -> None:
        """Its first process was reaped, or its zygote died, which kills it in a moment."""
        if sandbox.pidfd is None or is_readable(sandbox.pidfd):
            self._bury(sandbox)
            return
        loop, pidfd = asyncio.get_running_loop(), sandbox.pidfd

        def gone() -> None:
            loop.remove_reader(pidfd)
            self._bury(sandbox)

        loop.add_reader(pidfd, gone)

    def _bury(self, sandbox: Sandbox) -> None:
        if sandbox.id not in self.registry.live:
            return
        self.registry.bury(sandbox)
        self._slots.give_back(sandbox.slot)
        if sandbox.cgroup is not None and not sandbox.cgroup.remove():
            _log.warning("the control group of sandbox %s is still in use", sandbox.id)
        if sandbox.freezer is not None and not sandbox.freezer.remove():
            # The kernel counts a process for a moment after it has told of its end.
            task = asyncio.get_running_loop().create_task(sandbox.freezer.outlive(_LAST_BREATH))
            self._removing.add(task)
            task.add_done_callback(self._removing.discard)

    def _guest_said(self, sandbox: Sandbox, message: dict[str, Any], fds: list[int]) -> None:
        event = message.get("event")
        if event == "outlet" and fds and sandbox.egress and not sandbox.ready.done():
            sandbox.egress.offer(fds.pop())
        wire.close_all(fds)  # a guest has no others to give
        if event == "ready" and not sandbox.ready.done():
            sandbox.ready.set_result(None)
        elif event == "failed" and not sandbox.ready.done():
            sandbox.fail(_failure(message))
            sandbox.strike("transport")
        elif event == "lifetime":
            self._guest_shortened(sandbox, message.get("lifetime"))
        elif event == "ending" and message.get("reason") in ("lifetime", "idle"):
            sandbox.cause = sandbox.cause or "expired"
        elif event == "over" and sandbox.on_timeout == "pause":
            over: Over = "idle" if message.get("reason") == "idle" else "lifetime"
            self.pausing.time_is_over(sandbox, over)
        elif event == "still":
            self.pausing.said(sandbox, message)
        elif event == "snapshot" and sandbox.snapshot and not sandbox.snapshot.done():
            sandbox.snapshot.set_result(message)

    def _guest_hung_up(self, sandbox: Sandbox, error: Exception | None) -> None:
        if error is not None and not isinstance(error, ConnectionError):
            _log.warning("sandbox %s does not keep the protocol: %s", sandbox.id, error)
            sandbox.strike("transport")
        elif sandbox.id in self.registry.live:
            # It is dying, and why is known once it is dead.
            asyncio.get_running_loop().call_later(GUARD, sandbox.strike, "transport")

    # -- lifetime -----------------------------------------------------------------------------

    async def set_lifetime(self, sandbox_id: str, lifetime: float | None) -> dict[str, Any]:
        """Let a sandbox end `lifetime` seconds from now, or from when it is resumed; its record.

        Raises:
            SandboxNotFoundError: there is no such sandbox, or no longer.
        """
        sandbox = self.registry.get(sandbox_id)
        sandbox.lifetime = lifetime
        if sandbox.paused:
            sandbox.rest = lifetime
            return sandbox.info
        self._set_end(sandbox, lifetime)
        await self._tell(sandbox, {"do": "set_lifetime", "lifetime": lifetime})
        return sandbox.info

    def _guest_shortened(self, sandbox: Sandbox, lifetime: object) -> None:
        # What runs in a sandbox must not be able to make it live longer than its owner allowed.
        if isinstance(lifetime, (int, float)) and 0 <= lifetime <= _LONGEST_LIFETIME:
            ends = sandbox.expires_at
            if ends is None or time.time() + lifetime < ends:
                self._set_end(sandbox, lifetime)

    def _set_end(self, sandbox: Sandbox, lifetime: float | None) -> None:
        sandbox.info["expires_at"] = None if lifetime is None else time.time() + lifetime
        self._guard(sandbox)

    def _guard(self, sandbox: Sandbox) -> None:
        if sandbox.guard is not None:
            sandbox.guard.cancel()
            sandbox.guard = None
        if sandbox.expires_at is None or sandbox.id not in self.registry.live:
            return
        left = sandbox.expires_at + (0.0 if sandbox.paused else GUARD) - time.time()
        loop = asyncio.get_running_loop()
        if left <= 0 and sandbox.on_timeout == "pause" and not sandbox.paused:
            self.pausing.time_is_over(sandbox, "lifetime")
        elif left <= 0:
            sandbox.strike("expired")
        else:
            sandbox.guard = loop.call_later(min(left, _LONGEST_TIMER), self._guard, sandbox)

    # -- living sandboxes ---------------------------------------------------------------------

    async def connect(self, sandbox_id: str) -> socket.socket:
        """A new connection to a guest.

        Raises:
            SandboxNotFoundError: there is no such sandbox, or no longer.
            SandboxPausedError: it is paused.
        """
        sandbox = await self.settled(sandbox_id)
        self.registry.running(sandbox_id)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                await self._tell(sandbox, {"do": "connect"}, theirs.fileno())
            except BaseException:
                ours.close()
                raise
        return ours

    async def settled(self, sandbox_id: str) -> Sandbox:
        """A sandbox that is not just being paused or resumed.

        Raises:
            SandboxNotFoundError: there is no such sandbox, or no longer.
        """
        sandbox = self.registry.get(sandbox_id)
        if sandbox.changing.locked():
            async with sandbox.changing:
                return self.registry.get(sandbox_id)
        return sandbox

    async def kill(self, sandbox_id: str) -> bool:
        """End a sandbox; true if it was there. Returns when it is gone, all of it."""
        sandbox = self.registry.live.get(sandbox_id)
        if sandbox is None:
            return False
        first = sandbox.cause is None
        sandbox.strike("killed")
        await asyncio.shield(sandbox.ended)
        if sandbox.egress is not None:
            await asyncio.shield(sandbox.egress.gone)
        self.prepared.put_off()
        return first

    async def snapshot(self, message: dict[str, Any]) -> dict[str, Any]:
        """Save a sandbox's files. If it is cancelled, nothing is kept.

        Returns:
            The snapshot's record.

        Raises:
            SandboxNotFoundError: there is no such sandbox, or no longer.
            SandboxPausedError: it is paused.
            InvalidRequestError: the owner has a snapshot of this name.
            TransportError: it failed; nothing was kept.
        """
        sandbox = self.registry.get(message["sandbox"])
        with self.snapshots.reserve(message["name"], message["labels"]):
            async with sandbox.snapshotting:
                self.registry.running(sandbox.id)
                return await self._saved(
                    sandbox,
                    partial(
                        self.snapshots.take,
                        name=message["name"],
                        labels=message["labels"],
                        lifetime=message["lifetime"],
                        template=sandbox.template,
                    ),
                )

    async def _saved(self, sandbox: Sandbox, keep: Keep[T]) -> T:
        """Have the guest write its files, for somebody who keeps them."""
        reading, writing = os.pipe()
        sandbox.snapshot = asyncio.get_running_loop().create_future()
        told = False
        try:
            try:
                await self._tell(sandbox, {"do": "snapshot"}, writing)
                told = True
            finally:
                os.close(writing)
            return await keep(reading, sandbox.snapshot, sandbox.disk)
        except OSError as error:
            if isinstance(error, SandboxError):
                raise
            raise TransportError(f"the snapshot failed: {error}", outcome="not_started") from error
        finally:
            os.close(reading)
            if told and not sandbox.snapshot.done():
                # It cannot write any more. What it says of that must not be taken for the next.
                await outlast(asyncio.wait([sandbox.snapshot], timeout=VERDICT))

    async def _tell(self, sandbox: Sandbox, message: dict[str, Any], *fds: int) -> None:
        assert sandbox.control is not None
        try:
            sandbox.control.send(message, fds)
        except ConnectionError:
            # Its guest is dead or dying; whoever asks shall hear why.
            await asyncio.shield(sandbox.ended)
            self.registry.get(sandbox.id)
            raise

    async def close(self) -> None:
        """End everything."""
        self.prepared.end()
        for sandbox in list(self.registry.live.values()):
            sandbox.strike("killed")
        await self.zygotes.kill_all()
        living = list(self.registry.live.values())
        await asyncio.gather(*(s.ended for s in living))
        await asyncio.gather(*(s.egress.gone for s in living if s.egress is not None))
        if self._cgroups is not None:
            self._cgroups.close()
        if self._freezers is not None:
            await self._freezers.close(_LAST_BREATH)


def _failure(message: dict[str, Any]) -> SandboxError:
    if "code" in message:
        return codes.from_wire(message)
    return ProviderUnavailableError(
        f"the sandbox could not be made: {message.get('message')}", hint="sandboxkit doctor local"
    )


def _feed(source: int, pipe: int) -> None:
    """Copy a file into a pipe, closing both. A reader that dies ends it early."""
    try:
        at = 0  # the file's own position is shared by all who read it
        with contextlib.suppress(BrokenPipeError):
            while sent := os.sendfile(pipe, source, at, 1 << 20):
                at += sent
    finally:
        os.close(source)
        os.close(pipe)
