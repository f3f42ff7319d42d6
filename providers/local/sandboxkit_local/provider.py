"""Sandboxes made of Linux namespaces on this machine."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import uuid4

from sandboxkit.egress import outlet
from sandboxkit.errors import InvalidRequestError, SandboxError, UnsupportedError
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo, SandboxMetrics, SnapshotInfo
from sandboxkit.provider import (
    CreateRequest,
    ForkRequest,
    LifetimeRequest,
    ListRequest,
    PauseRequest,
    ProviderSettings,
    ResumeRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
)

from . import CAPABILITIES, paths, template
from .client import DaemonClient
from .jail import cgroup, freezer, idmap, limits

__all__ = ["LocalProvider"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_ACCOUNTS = {"root": (0, 0, "/root"), "user": (1000, 1000, "/home/user")}
_SHELL = "/bin/bash -c"


class LocalProvider(GuestProvider):
    """Sandboxes of this user, on this machine, kept by a daemon that is started when needed.

    Attributes:
        capabilities: narrower on an instance, where this user cannot have it all.
    """

    name = "local"
    capabilities = CAPABILITIES

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._daemon = DaemonClient(paths.locate())
        self._fresh: dict[str, socket.socket] = {}
        groups = cgroup.detect()
        controllers = groups.controllers if groups is not None else frozenset()
        self._single = idmap.choose().kind == "single"
        can_pause = freezer.detect() is not None
        self.capabilities = replace(
            CAPABILITIES,
            pause=can_pause,
            pause_on_timeout=can_pause,
            pause_lifetime=can_pause,
            pause_keeps="memory" if can_pause else None,
            users=not self._single,
            limit_cpu="cpu" in controllers,
            limit_memory="memory" in controllers,
        )

    # -- lifecycle ----------------------------------------------------------------------------

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        message = self._order(request)
        try:
            result, fds = await self._daemon.ask("create", **message)
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                await self._daemon.tell("abandon", nonce=request.nonce)
            raise
        info = _sandbox_info(result["info"])
        self._fresh[info.id] = socket.socket(fileno=fds[0])
        await self._daemon.tell("accept", sandbox=info.id)
        return info

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        sock = self._fresh.pop(sandbox_id, None)
        if sock is None:
            _, fds = await self._daemon.ask("connect", sandbox=sandbox_id)
            sock = socket.socket(fileno=fds[0])
        loop = asyncio.get_running_loop()
        return await loop.create_unix_connection(factory, sock=sock)

    async def destroy(self, sandbox_id: str) -> bool:
        fresh = self._fresh.pop(sandbox_id, None)
        if fresh is not None:
            fresh.close()
        result, _ = await self._daemon.ask("kill", sandbox=sandbox_id)
        return bool(result["killed"])

    async def find(self, sandbox_id: str) -> SandboxInfo:
        result, _ = await self._daemon.ask("find", sandbox=sandbox_id)
        return _sandbox_info(result["info"])

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        wanted: dict[str, Any] = {
            "labels": dict(request.labels),
            "metadata": dict(request.metadata),
            "state": request.state,
        }
        async for item in self._daemon.pages("list", **wanted):
            yield _sandbox_info(item)

    async def ran_out_of_memory(self, sandbox_id: str) -> bool:
        result, _ = await self._daemon.ask("oom", sandbox=sandbox_id)
        return bool(result["oom"])

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        known, _ = await self._daemon.ask("metrics", sandbox=request.sandbox_id)
        seen = await self.measure(request.sandbox_id)
        memory = known["memory_used"]
        if memory is None:
            # Files are kept in memory, as the kernel counts it too where it counts for us.
            memory = (seen.memory_used or 0) + (seen.disk_used or 0)
        return replace(
            seen,
            cpu_seconds=seen.cpu_seconds if known["cpu_seconds"] is None else known["cpu_seconds"],
            cpu_limit=known["cpu_limit"],
            memory_used=memory,
            memory_limit=known["memory_limit"],
            disk_limit=known["disk_limit"],
        )

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        result, _ = await self._daemon.ask(
            "set_lifetime", sandbox=request.sandbox_id, lifetime=request.lifetime
        )
        return _sandbox_info(result["info"])

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        result, _ = await self._daemon.ask(
            "pause", sandbox=request.sandbox_id, lifetime=request.lifetime
        )
        self.client(request.sandbox_id).stand_still()
        return _sandbox_info(result["info"])

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        result, _ = await self._daemon.ask("resume", sandbox=request.sandbox_id)
        self.client(request.sandbox_id).go_on()
        return _sandbox_info(result["info"])

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        nonce = request.labels.get("nonce") or uuid4().hex
        try:
            result, _ = await self._daemon.ask(
                "fork",
                nonce=nonce,
                sandbox=request.sandbox_id,
                count=request.count,
                labels=dict(request.labels),
                lifetime=request.lifetime,
            )
            infos = await asyncio.gather(*(self.find(one) for one in result["sandboxes"]))
        except BaseException:
            with contextlib.suppress(SandboxError):
                await self._daemon.tell("abandon", nonce=nonce)
            raise
        for info in infos:
            await self._daemon.tell("accept", sandbox=info.id)
        return infos

    async def aclose(self) -> None:
        await super().aclose()
        self._daemon.close()
        fresh, self._fresh = self._fresh, {}
        for sock in fresh.values():
            sock.close()

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        if request.kind != "filesystem":
            raise UnsupportedError(
                "the local provider cannot save memory",
                capability="snapshots",
                provider=self.name,
                hint="sandboxkit providers",
            )
        nonce = uuid4().hex
        try:
            result, _ = await self._daemon.ask(
                "snapshot",
                nonce=nonce,
                sandbox=request.sandbox_id,
                name=request.name,
                lifetime=request.lifetime,
                labels=dict(request.labels),
            )
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                await self._daemon.tell("abandon", nonce=nonce)
            raise
        info = _snapshot_info(result["info"])
        await self._daemon.tell("accept", snapshot=info.id)
        return info

    async def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        async for item in self._daemon.pages("list_snapshots", labels=dict(request.labels)):
            yield _snapshot_info(item)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        result, _ = await self._daemon.ask("delete_snapshot", snapshot=request.snapshot_id)
        return bool(result["deleted"])

    # -- inside -------------------------------------------------------------------------------

    def _order(self, request: CreateRequest) -> dict[str, Any]:
        """The request as the daemon wants it, everything checked that can be checked here."""
        if request.image is not None:
            raise self._refusal("images", "container images are no templates here")
        if request.network == "full":
            raise self._refusal("network_full", "sandboxes have no network of their own")
        rules = [] if request.network == "none" else list(request.network)
        options = dict(request.options)
        prepared = options.pop("prepared", True)
        unknown = options.keys() - {"template"}
        if unknown:
            raise InvalidRequestError(f"unknown options: {', '.join(sorted(unknown))}")
        if type(prepared) is not bool:
            raise InvalidRequestError("prepared must be true or false")
        resolved = template.resolve(request.template, options)
        user = request.user or "user"
        from_snapshot = request.snapshot is not None and request.template is None and not options
        foreign = "rootfs" in resolved
        named = user not in _ACCOUNTS and not user.isdigit()
        if named and not (foreign or from_snapshot):
            raise InvalidRequestError(f"there is no user {user!r} in the template")
        if named and request.mounts:
            raise InvalidRequestError(
                "mounts: give the user's number; only its root knows the name"
            )
        uid, gid, home = self._account(user)
        shell = "" if foreign else _SHELL  # the agent looks which there is
        bounds, unenforced = self._limits(request)
        return {
            "nonce": request.nonce,
            "named": named,
            "prepared": prepared,
            "template": None if from_snapshot else resolved,
            "snapshot": request.snapshot,
            "limits": bounds,
            "pids": request.pids or limits.DEFAULT_PIDS,
            "disk": request.disk or limits.default_disk(bounds.get("memory")),
            "hostname": None,
            "network": rules,
            "outlet": outlet.PORT,
            "mounts": [asdict(mount) for mount in request.mounts],
            "info": {
                "labels": dict(request.labels),
                "metadata": dict(request.metadata),
                "workdir": request.workdir or home,
                "user": user,
                "shell": shell,
                "unenforced": unenforced,
                "network": rules or "none",
            },
            "agent": {
                "workdir": request.workdir or ("" if foreign else home),
                "user": user,
                "uid": uid,
                "gid": gid,
                "home": home,
                "shell": shell,
                "path": resolved["path"],
                "env": {**(outlet.variables() if rules else {}), **request.env},
                "lifetime": request.lifetime,
                "idle_timeout": request.idle_timeout,
                "on_timeout": request.on_timeout,
                "can_switch_user": not self._single,
                "python": resolved["executable"],
            },
        }

    def _limits(self, request: CreateRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
        bounds: dict[str, Any] = {}
        unenforced: tuple[str, ...] = ()
        enforceable = self.capabilities.flags()
        for name in ("cpu", "memory", "pids"):
            value = getattr(request, name)
            if value is None:
                continue
            if enforceable[f"limit_{name}"]:
                bounds[name] = value
            elif request.best_effort:
                unenforced += (name,)
            else:
                raise self._refusal(f"limit_{name}", f"{name} cannot be limited for this user")
        return bounds, unenforced

    def _account(self, user: str) -> tuple[int, int, str]:
        """Uid, gid and home of a user of the template, as far as they can be known here."""
        if self._single and user not in ("user", "1000"):
            raise self._refusal("users", f"only 'user' exists here, not {user!r}")
        for name, account in _ACCOUNTS.items():
            if user in (name, str(account[0])):
                return account
        if user.isascii() and user.isdigit() and int(user) < 65_535:
            return int(user), int(user), "/"
        if user.isdigit():
            raise InvalidRequestError(f"there is no user {user!r} in the template")
        return idmap.USER_ID, idmap.USER_ID, "/"  # of a root of its own: said inside

    def _refusal(self, capability: str, message: str) -> UnsupportedError:
        return UnsupportedError(
            message, capability=capability, provider=self.name, hint="sandboxkit doctor local"
        )


def _time(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _sandbox_info(fields: dict[str, Any]) -> SandboxInfo:
    return SandboxInfo(
        id=fields["id"],
        provider="local",
        state=fields["state"],
        template=fields["template"],
        isolation="namespaces",
        created_at=datetime.fromtimestamp(fields["created_at"], UTC),
        expires_at=_time(fields["expires_at"]),
        labels=fields["labels"],
        metadata=fields["metadata"],
        workdir=fields["workdir"],
        user=fields["user"],
        shell=fields["shell"],
        unenforced=tuple(fields["unenforced"]),
        network=_network(fields.get("network")),
    )


def _network(said: Any) -> Literal["none", "full"] | tuple[str, ...] | None:
    return tuple(said) if isinstance(said, list) else said


def _snapshot_info(fields: dict[str, Any]) -> SnapshotInfo:
    return SnapshotInfo(
        id=fields["id"],
        provider="local",
        name=fields["name"],
        created_at=datetime.fromtimestamp(fields["created_at"], UTC),
        expires_at=_time(fields["expires_at"]),
        size=fields["size"],
        labels=fields["labels"],
    )
