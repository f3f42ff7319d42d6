"""Snapshots and forks. A snapshot is the workspace's, and outlives the sandbox it was taken of."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.responses import Response

from ...errors import SnapshotNotFoundError
from ...sandbox import AsyncSandbox
from ..fleet import Fleet
from ..http import json_answer, json_of
from ..naming import Naming
from ..refusal import Refusal
from ..state import SandboxRecord, SnapshotRecord
from . import shapes
from .asking import Asking
from .creating import DEFAULT_MEMORY, env_of, is_name, limits_of
from .expiry import ends_of
from .guest import Guest
from .listing import page_of

__all__ = ["Copies"]

About = Callable[[Asking, SandboxRecord], Awaitable[Response]]
Keep = Callable[[Asking, str, AsyncSandbox, SandboxRecord, dict[str, Any]], Awaitable[None]]


class Copies:
    """Serves what copies sandboxes.

    Args:
        fleet: them.
        keep: remembers one that was made.
        naming: holds their names meanwhile.
        vendor: whether to be as Blaxel is, whose sandboxes all have a network.
    """

    def __init__(self, fleet: Fleet[Guest], keep: Keep, naming: Naming, *, vendor: bool) -> None:
        self._fleet = fleet
        self._keep = keep
        self._naming = naming
        self._vendor = vendor

    def of_sandbox(self, method: str, what: str, rest: list[str]) -> About | None:
        """What serves a request under a sandbox."""
        match method, what, rest:
            case "POST", "snapshots", []:
                return self._take
            case "GET", "snapshots", []:
                return self._list_of
            case "DELETE", "snapshots", [name]:
                return partial(self._delete_of, name)
            case "POST", "fork", []:
                return self._fork
        return None

    def of_workspace(
        self, method: str, rest: list[str]
    ) -> Callable[[Asking], Awaitable[Response]] | None:
        """What serves a request to ``/snapshots``."""
        match method, rest:
            case "GET", []:
                return self._list
            case "POST", []:
                return self._take_by_name
            case "GET", [identifier]:
                return partial(self._get, identifier)
            case "DELETE", [identifier]:
                return partial(self._delete, identifier)
            case "POST", [identifier, "fork"]:
                return partial(self._restart, identifier)
        return None

    # -- snapshots ----------------------------------------------------------------------------

    async def _take(self, asking: Asking, record: SandboxRecord) -> Response:
        return await self._taken(asking, record, await json_of(asking.request))

    async def _take_by_name(self, asking: Asking) -> Response:
        body = await json_of(asking.request)
        source = body.get("source")
        name = source.get("name") if isinstance(source, dict) else None
        record = self._fleet.state.sandboxes.get(asking.id_of(str(name)))
        if record is None:
            raise Refusal(404, "there is no sandbox to take a snapshot of", name="NOT_FOUND")
        return await self._taken(asking, record, body)

    async def _taken(self, asking: Asking, record: SandboxRecord, body: dict[str, Any]) -> Response:
        identifier = "snp-" + secrets.token_hex(8)
        name = body.get("name") or identifier
        if not isinstance(name, str) or len(name) > 128:
            raise Refusal(400, "the snapshot's name is none", name="INVALID_INPUT")
        if any(name in one.names for one in self._mine(asking) if one.sandbox == record.id):
            raise Refusal(409, f"snapshot {name} already exists", name="CONFLICT")
        live = await self._fleet.open(record)
        taken = await live.sandbox.snapshot(expires=None)
        kept = SnapshotRecord(
            id=asking.id_of(identifier),
            tenant=asking.tenant.name,
            address=taken.address,
            sandbox=record.id,
            names=[name],
            created_at=time.time(),
            settings={name: record.options.get(name) for name in ("spec", "network")},
        )
        await self._fleet.state.save(kept)
        return json_answer(shapes.snapshot(kept, asking.workspace))

    def _mine(self, asking: Asking) -> list[SnapshotRecord]:
        kept = self._fleet.state.snapshots.values()
        return [one for one in kept if one.tenant == asking.tenant.name]

    async def _list_of(self, asking: Asking, record: SandboxRecord) -> Response:
        found = [one for one in self._mine(asking) if one.sandbox == record.id]
        return json_answer([shapes.snapshot(one, asking.workspace) for one in found])

    async def _list(self, asking: Asking) -> Response:
        page, cursor = page_of(self._mine(asking), asking.request.query_params)
        told = [shapes.snapshot(one, asking.workspace) for one in page]
        meta = {"hasMore": cursor is not None, "nextCursor": cursor or ""}
        return json_answer({"data": told, "meta": meta})

    def _found(self, asking: Asking, identifier: str) -> SnapshotRecord:
        found = self._fleet.state.snapshots.get(asking.id_of(identifier))
        if found is None:
            raise Refusal(404, f"Snapshot {identifier[:64]} not found", name="NOT_FOUND")
        return found

    async def _get(self, identifier: str, asking: Asking) -> Response:
        return json_answer(shapes.snapshot(self._found(asking, identifier), asking.workspace))

    async def _delete(self, identifier: str, asking: Asking) -> Response:
        return await self._gone(self._found(asking, identifier))

    async def _delete_of(self, name: str, asking: Asking, record: SandboxRecord) -> Response:
        for one in self._mine(asking):
            if one.sandbox == record.id and (name in one.names or one.id == asking.id_of(name)):
                return await self._gone(one)
        raise Refusal(404, f"Snapshot {name[:64]} not found", name="NOT_FOUND")

    async def _gone(self, record: SnapshotRecord) -> Response:
        from ...listing import delete_snapshot

        await delete_snapshot(record.address, self._fleet.profile)
        await self._fleet.state.forget(record)
        return Response(status_code=204)

    # -- copies -------------------------------------------------------------------------------

    async def _fork(self, asking: Asking, record: SandboxRecord) -> Response:
        body = await json_of(asking.request)
        if body.get("snapshotId"):
            return await self._started(asking, self._found(asking, str(body["snapshotId"])), body)
        name = self._target(asking, body)
        if env_of(body):
            raise Refusal(501, "variables of a live fork are not served by this gateway")
        live = await self._fleet.fresh(record)
        async with self._free(asking, name), self._fleet.room(asking.tenant):
            [made] = await live.sandbox.fork(1, lifetime=self._lifetime(body, record))
            await self._keep(asking, name, made, record, body)
        return json_answer({"name": name, "type": "sandbox"})

    async def _restart(self, identifier: str, asking: Asking) -> Response:
        return await self._started(
            asking, self._found(asking, identifier), await json_of(asking.request)
        )

    async def _started(
        self, asking: Asking, snapshot: SnapshotRecord, body: dict[str, Any]
    ) -> Response:
        name = self._target(asking, body)
        record = self._source(snapshot)
        able = self._fleet.provider.capabilities
        spec, network = record.options["spec"], record.options.get("network")
        if network is None and self._vendor and able.network_full:
            network = "full"
        idle = None if body.get("lifecycle") else ends_of(spec, time.time(), strict=False).idle
        memory = spec["runtime"].get("memory") or DEFAULT_MEMORY
        async with self._free(asking, name), self._fleet.room(asking.tenant):
            try:
                made = await AsyncSandbox.create(
                    self._fleet.profile,
                    snapshot=snapshot.address,
                    lifetime=self._lifetime(body, record),
                    idle_timeout=idle,
                    env=env_of(body),
                    network=network,
                    resources=limits_of(memory, able),
                )
            except SnapshotNotFoundError:
                await self._fleet.state.forget(snapshot)
                raise Refusal(404, "the snapshot has ended", name="NOT_FOUND") from None
            await self._keep(asking, name, made, record, body)
        identifier = snapshot.id.partition("/")[2]
        return json_answer({"name": name, "type": "sandbox", "snapshotId": identifier})

    def _target(self, asking: Asking, body: dict[str, Any]) -> str:
        name = body.get("targetName")
        if not isinstance(name, str) or not is_name(name):
            raise Refusal(400, "targetName is no name", name="INVALID_INPUT")
        if body.get("targetType", "sandbox") != "sandbox":
            raise Refusal(501, "forking into an application is not served by this gateway")
        return name

    @contextlib.asynccontextmanager
    async def _free(self, asking: Asking, name: str) -> AsyncIterator[None]:
        """Hold a name that nothing has."""
        async with self._naming.alone(asking.id_of(name)):
            if asking.id_of(name) in self._fleet.state.sandboxes:
                raise Refusal(409, f"{name} already exists", name="SANDBOX_ALREADY_EXISTS")
            yield

    def _source(self, snapshot: SnapshotRecord) -> SandboxRecord:
        """What a copy is made like: what its snapshot was of, as it was then."""
        record = self._fleet.state.sandboxes.get(snapshot.sandbox) or _stand_in(snapshot)
        kept = {name: one for name, one in snapshot.settings.items() if one is not None}
        return replace(record, options={**record.options, **kept})

    def _lifetime(self, body: dict[str, Any], record: SandboxRecord) -> float:
        lifecycle = body.get("lifecycle")
        if lifecycle is None:
            return record.timeout
        now = time.time()
        ends = ends_of({"lifecycle": lifecycle}, now, strict=False)
        if ends.idle is not None:
            raise Refusal(501, "ttl-idle of a fork is not served by this gateway")
        return record.timeout if ends.at is None else max(1.0, ends.at - now)


def _stand_in(snapshot: SnapshotRecord) -> SandboxRecord:
    """What a copy is made like whose source has ended."""
    return SandboxRecord(
        id=snapshot.sandbox,
        tenant=snapshot.tenant,
        address="",
        token="",
        template="blaxel/base-image:latest",
        timeout=3600.0,
        options={"spec": {"runtime": {"image": "blaxel/base-image:latest", "memory": 4096}}},
    )
