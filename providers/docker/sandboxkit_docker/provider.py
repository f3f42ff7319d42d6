"""Sandboxes that are containers of a Docker Engine."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sandboxkit.capabilities import Capabilities
from sandboxkit.errors import (
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    SnapshotNotFoundError,
    TransportError,
    UnsupportedError,
)
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo, SandboxMetrics, SnapshotInfo
from sandboxkit.provider import (
    CreateRequest,
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

from . import (
    CAPABILITIES,
    container,
    egress,
    endings,
    mounts,
    places,
    records,
    run_directory,
    snapshots,
    storage,
    usage,
)
from .builds import Builds
from .egress import Egress
from .engine import Engine
from .errors import Absent, Conflict
from .guest_volume import GuestVolume
from .images import Images, Origin
from .launch import GuestMissingError, Meanwhile, launch
from .leftovers import Leftovers
from .memory import MemoryWatch
from .mounts import Mounter
from .pausing import Pausing
from .reach import Reach
from .records import KIND
from .settings import DockerSettings
from .shielded import finished

__all__ = ["DockerProvider"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_LIVE = ("created", "running", "paused")


class DockerProvider(GuestProvider):
    """Containers of one engine, each with a guest as its first process."""

    name = "docker"
    capabilities = CAPABILITIES
    settings_type = DockerSettings

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        assert isinstance(settings, DockerSettings)
        self._settings = settings
        self._engine = Engine(settings.host)
        self._images = Images(self._engine, settings.pull)
        self._builds = Builds(self._engine, self._images, settings.default_image)
        self._volume = GuestVolume(self._engine, settings.guest_image, self._images.have)
        self._reach = Reach(self._engine)
        self._egress = Egress(self._engine, settings)
        self._pausing = Pausing(self._engine, self.client)
        self._memory = MemoryWatch(self.read_file)
        self._snapshots = snapshots.Snapshots(self._engine)
        self._leftovers = Leftovers(self._engine)
        self.capabilities = replace(
            CAPABILITIES, isolation=container.isolation_of(settings.runtime)
        )

    # -- lifecycle ----------------------------------------------------------------------------

    async def survey(self) -> Capabilities:
        info = await self._engine.info()
        return replace(
            self.capabilities,
            limit_disk=storage.can_limit(info),
            mounts=mounts.are_possible(self._engine, info),
        )

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        container.check(request)
        egress.check(request, self._settings)
        mounts.check(request, self._settings)
        origin, volume, _ = await asyncio.gather(
            self._origin(request),
            self._volume.name(),
            self._leftovers.remove(request.labels.get("owner", "")),
        )
        try:
            return await self._boot(request, origin, volume)
        except GuestMissingError:
            # Somebody removed the volume; it is made again, and nothing of the first try is left.
            await self._volume.forget()
            return await self._boot(request, origin, await self._volume.name())

    async def _boot(self, request: CreateRequest, origin: Origin, volume: str) -> SandboxInfo:
        size_option, unenforced = await self._size_option(request, origin)
        proxy = await self._egress.make(request, volume)
        run = self._reach.directory(request.nonce)
        isolation = container.isolation_of(container.runtime_of(request, self._settings))
        labels = records.container_labels(
            request, origin.reference, isolation, run or "", proxy, unenforced
        )
        config = container.configuration(
            request,
            self._settings,
            image=origin.image,
            labels=labels,
            volume=volume,
            run=run,
            proxy=proxy,
            storage=size_option,
        )
        try:
            container_id = await self._made(request, origin, config)
        except Conflict:  # the name is taken: this very request has been here before
            await finished(self._egress.end(proxy))
            return await self._made_before(request.nonce)
        except BaseException:
            await finished(self._egress.end(proxy))
            self._reach.drop(run)
            raise
        try:
            orders = partial(self._orders, request, container_id, origin, proxy)
            await launch(
                self._engine, container_id, orders, self._mounting(request, container_id, volume)
            )
        except BaseException:
            await finished(self._discard(container_id))
            await finished(self._egress.end(proxy))
            self._reach.drop(run)
            raise
        info = records.sandbox_info(container_id, "", labels)
        self._reach.begun(info.id, run)
        return info

    async def _size_option(
        self, request: CreateRequest, origin: Origin
    ) -> tuple[Mapping[str, str], Sequence[str]]:
        """What the engine's storage driver is told, and what cannot be enforced."""
        if request.disk is None:
            return {}, ()
        info = await self._engine.info()
        if request.best_effort and not storage.can_limit(info):
            return {}, ("disk",)
        image = await self._images.have(origin.image)
        return storage.option(info, request.disk, image.size), ()

    async def _made(self, request: CreateRequest, origin: Origin, config: Mapping[str, Any]) -> str:
        """The id of a new container, whose image is pulled if the engine has none of that name."""
        name = records.container_name(request.nonce)
        try:
            return await finished(self._engine.create_container(name, config), self._discard)
        except Absent:
            await self._images.have(origin.reference)
            return await finished(self._engine.create_container(name, config), self._discard)

    async def _made_before(self, nonce: str) -> SandboxInfo:
        """The sandbox that this very request has made already, when its answer was lost.

        Raises:
            TransportError: it is still being made.
        """
        async for info in self.list(ListRequest(labels={"nonce": nonce})):
            if (await self._shown(info.id))["State"]["Status"] != "created":
                return info
        raise TransportError(
            "an earlier attempt at this very sandbox has not ended yet",
            outcome="unknown",
            retryable=True,
        )

    async def _origin(self, request: CreateRequest) -> Origin:
        if request.snapshot is not None:
            found = await self._images.find(snapshots.reference(request.snapshot))
            if found is None or snapshots.is_over(found.labels):
                raise SnapshotNotFoundError(
                    f"there is no snapshot {request.snapshot}", hint="sandboxkit snapshot ls"
                )
            return Origin(found.id, found.reference)
        recipe = request.options.get("template")
        if isinstance(recipe, Mapping):
            found = await self._builds.have(recipe)
            return Origin(found.id, found.reference)
        wanted = request.image or request.template or self._settings.default_image
        return Origin(wanted, wanted)

    async def _orders(
        self, request: CreateRequest, container_id: str, origin: Origin, proxy: str | None
    ) -> dict[str, Any]:
        image, _ = await asyncio.gather(
            self._images.below(container_id, origin.reference), self._egress.start(proxy, request)
        )
        return _orders(request, image.user)

    def _mounting(self, request: CreateRequest, container_id: str, volume: str) -> Meanwhile | None:
        if not request.mounts:
            return None
        return partial(Mounter(self._engine, request, volume).put, container_id)

    async def _discard(self, container_id: str) -> None:
        with contextlib.suppress(SandboxError):
            await self._engine.remove(container_id)

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        try:
            return await self._reach.dial(sandbox_id, factory)
        except Absent:
            raise await endings.gone(self._engine, sandbox_id) from None

    async def look_again(self, sandbox_id: str) -> SandboxInfo:
        # For a moment the engine takes a container for running whose guest has ended.
        try:
            await self._reach.probe(sandbox_id)
        except Absent:
            raise await endings.gone(self._engine, sandbox_id) from None
        return await self.find(sandbox_id)

    async def destroy(self, sandbox_id: str) -> bool:
        try:
            shown = await self._engine.inspect(sandbox_id)
        except Absent:
            return False
        self._must_be_ours(shown)
        gone = await self._engine.remove(shown["Id"])
        await self._egress.end(_record(shown).get("proxy"))
        run_directory.remove(_record(shown).get("run", ""))
        await self._snapshots.drop_unused(shown["Image"])
        self._memory.forget(sandbox_id)
        return gone

    async def find(self, sandbox_id: str) -> SandboxInfo:
        shown = await self._shown(sandbox_id)
        return records.sandbox_info(
            shown["Id"],
            shown["Name"],
            shown["Config"]["Labels"],
            bool(shown["State"].get("Paused")),
        )

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        await self._egress.sweep()
        wanted: dict[str, str | None] = {KIND: "sandbox"}
        for name in records.OWNERSHIP:
            if name in request.labels:
                wanted[f"sandboxkit.{name}"] = request.labels[name]
        for item in await self._engine.list_containers(wanted):
            info = await self._listed(item)
            if info is not None and _fits(info, request):
                yield info

    async def _listed(self, item: Mapping[str, Any]) -> SandboxInfo | None:
        if item["State"] not in _LIVE:
            return None
        labels: Mapping[str, str] = item["Labels"]
        abandoned = item["State"] == "created" and records.is_abandoned(labels)
        # Half-made by somebody who died, or paused and never resumed: what has no guest that runs
        # cannot end itself.
        if abandoned or (item["State"] == "paused" and records.is_over(item["Names"][0])):
            await self._discard(item["Id"])
            return None
        return records.sandbox_info(item["Id"], item["Names"][0], labels, item["State"] == "paused")

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        info = await super().connect(request)
        if info.state == "running":
            await self._memory.begin(request.sandbox_id)
        return info

    async def ran_out_of_memory(self, sandbox_id: str) -> bool:
        return await self._memory.has_struck(sandbox_id)

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        seen = await self.measure(request.sandbox_id)
        try:
            return await usage.counted(self._engine, request.sandbox_id, seen)
        except Absent:
            raise await endings.gone(self._engine, request.sandbox_id) from None

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        shown = await self._shown(request.sandbox_id)
        if shown["State"].get("Paused"):
            await self._pausing.set_rest(request.sandbox_id, shown, request.lifetime)
            return await self.find(request.sandbox_id)
        info = await super().set_lifetime(request)
        ends = None
        if request.lifetime is not None:
            # What is written down has whole seconds.
            ends = datetime.now(UTC) + timedelta(seconds=request.lifetime)
            ends = ends.replace(microsecond=0)
        name = records.name_until(shown["Name"], ends)
        await self._pausing.rename("set_lifetime", request.sandbox_id, name)
        return replace(info, expires_at=ends)

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        shown = await self._shown(request.sandbox_id)
        await finished(self._pausing.pause(request.sandbox_id, shown, request.lifetime))
        return await self.find(request.sandbox_id)

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        shown = await self._shown(request.sandbox_id)
        await finished(self._pausing.resume(request.sandbox_id, shown))
        return await self.find(request.sandbox_id)

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        if request.kind != "filesystem":
            raise UnsupportedError(
                "this provider cannot save memory", capability="snapshots", provider=self.name
            )
        shown = await self._shown(request.sandbox_id)
        if shown["State"].get("Paused"):
            raise SandboxPausedError.of(f"docker:{request.sandbox_id}")
        taking = self._snapshots.take(request, shown)
        return await finished(taking, lambda info: self._snapshots.delete(info.id))

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        return self._snapshots.list(request.labels)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        return await self._snapshots.delete(request.snapshot_id)

    # -- inside -------------------------------------------------------------------------------

    async def _shown(self, sandbox_id: str) -> dict[str, Any]:
        """A live sandbox's container, as the engine shows it.

        Raises:
            SandboxNotFoundError: there is none, or no longer; with the cause where it is known.
        """
        try:
            shown = await self._engine.inspect(sandbox_id)
        except Absent:
            raise await endings.gone(self._engine, sandbox_id) from None
        self._must_be_ours(shown)
        if shown["State"]["Status"] not in _LIVE:
            raise await endings.gone(self._engine, sandbox_id)
        if shown["State"].get("Paused") and records.is_over(shown["Name"]):
            await self._discard(shown["Id"])
            raise SandboxNotFoundError(
                f"sandbox {sandbox_id} has ended: nobody resumed it", cause="expired"
            )
        return shown

    def _must_be_ours(self, shown: Mapping[str, Any]) -> Mapping[str, str]:
        """A container's labels.

        Raises:
            SandboxNotFoundError: it is no sandbox.
        """
        labels: Mapping[str, str] = shown["Config"].get("Labels") or {}
        if labels.get(KIND) != "sandbox":
            raise SandboxNotFoundError(
                f"container {shown['Id'][: records.ID_LENGTH]} is no sandbox", hint="sandboxkit ps"
            )
        return labels

    async def aclose(self) -> None:
        await super().aclose()
        await self._volume.aclose()
        await self._engine.aclose()

    def native(self, sandbox_id: str) -> object:
        return self._engine.container(sandbox_id)


def _orders(request: CreateRequest, image_user: str) -> dict[str, Any]:
    return {
        "user": request.user or image_user or None,
        "workdir": request.workdir,
        "mounts": mounts.targets(request),
        "shell": _shell(request),
        "env": {**egress.variables(request), **request.env},
        "outlet": places.OUTLET_SOCKET if egress.has_rules(request) else "",
        "lifetime": request.lifetime,
        "idle_timeout": request.idle_timeout,
    }


def _record(shown: Mapping[str, Any]) -> dict[str, Any]:
    return records.record_of(shown["Config"].get("Labels") or {})


def _shell(request: CreateRequest) -> str:
    recipe = request.options.get("template")
    return str(recipe.get("shell") or "") if isinstance(recipe, Mapping) else ""


def _fits(info: SandboxInfo, request: ListRequest) -> bool:
    return (
        (request.state is None or info.state == request.state)
        and request.labels.items() <= info.labels.items()
        and request.metadata.items() <= info.metadata.items()
    )
