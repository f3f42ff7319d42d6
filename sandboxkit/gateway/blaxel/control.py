"""The control plane: sandboxes made, listed, changed and ended, over REST."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...config import load_config
from ...errors import SandboxError, SandboxNotFoundError
from ...sandbox import AsyncSandbox
from ..fleet import Fleet, Live
from ..http import json_answer, json_of
from ..naming import Naming
from ..refusal import Refusal, refusal_of
from ..settings import Settings
from ..state import SandboxRecord
from . import shapes
from .access import Access
from .asking import Asking
from .copies import Copies
from .creating import Wanted, limits_of, template_of, wanted_of
from .expiry import Ends, ends_of
from .guest import Guest
from .listing import page_of
from .previews import Previews

__all__ = ["ControlPlane"]

GHOSTS = 300.0
"""Seconds for which Blaxel still shows a sandbox that was deleted."""
MAX_GHOSTS = 1000
Handler = Callable[[], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Ghost:
    """A sandbox that was deleted.

    Attributes:
        record: of it.
        until: when it is shown no longer, in seconds since the epoch.
    """

    record: SandboxRecord
    until: float


class ControlPlane:
    """Serves what is under ``/v0``."""

    def __init__(self, fleet: Fleet[Guest], settings: Settings, access: Access) -> None:
        self._fleet = fleet
        self._settings = settings
        self._access = access
        self._vendor = settings.fidelity == "vendor"
        self._naming = Naming()
        self._ghosts: dict[str, Ghost] = {}
        self._previews = Previews(fleet)
        self._copies = Copies(fleet, self._kept, self._naming, vendor=self._vendor)

    async def answer(self, request: Request) -> Response:
        """Serve one request.

        Raises:
            Refusal: it cannot be.
        """
        place = [part for part in request.url.path.removeprefix("/v0").split("/") if part]
        if (request.method, place) == ("POST", ["oauth", "token"]):
            return json_answer(self._access.exchange(request.scope))
        asking = Asking.of(request, self._access.tenant(request.scope))
        handler = self._route(asking, request.method, place)
        if handler is None:
            raise Refusal(
                501,
                f"{request.method} {request.url.path[:128]} is not served by this gateway",
                name="NOT_IMPLEMENTED",
            )
        try:
            return await handler()
        except SandboxError as error:
            raise refusal_of(error) from None

    def _route(self, asking: Asking, method: str, place: list[str]) -> Handler | None:
        match method, place:
            case "POST", ["sandboxes"]:
                return partial(self._create, asking)
            case "GET", ["sandboxes"]:
                return partial(self._list, asking)
            case "GET", ["sandboxes", name]:
                return partial(self._get, asking, name)
            case "PUT", ["sandboxes", name]:
                return partial(self._update, asking, name)
            case "DELETE", ["sandboxes", name]:
                return partial(self._delete, asking, name)
            case _, ["sandboxes", name, "previews", *rest]:
                return partial(self._about, asking, name, partial(self._previewed, method, rest))
            case _, ["sandboxes", name, "fork" | "snapshots" as what, *rest]:
                handler = self._copies.of_sandbox(method, what, rest)
                return handler and partial(self._about, asking, name, handler)
            case _, ["snapshots", *rest]:
                found = self._copies.of_workspace(method, rest)
                return found and partial(found, asking)
        return None

    # -- making -------------------------------------------------------------------------------

    async def _create(self, asking: Asking) -> Response:
        wanted = wanted_of(await json_of(asking.request))
        name = wanted.name or f"sandbox-{secrets.token_hex(6)}"
        identifier = asking.id_of(name)
        async with self._naming.alone(identifier):
            there = await self._there(identifier)
            if there is not None:
                if asking.request.query_params.get("createIfNotExist", "").lower() != "true":
                    raise Refusal(
                        409, f"Sandbox {name} already exists", name="SANDBOX_ALREADY_EXISTS"
                    )
                return self._told(asking, there)
            async with self._fleet.room(asking.tenant):
                live = await self._made(asking, identifier, wanted)
            self._ghosts.pop(identifier, None)
            return self._told(asking, live)

    async def _there(self, identifier: str) -> Live[Guest] | None:
        record = self._fleet.state.sandboxes.get(identifier)
        if record is None:
            return None
        try:
            return await self._fleet.fresh(record)
        except SandboxNotFoundError:
            return None

    async def _made(self, asking: Asking, identifier: str, wanted: Wanted) -> Live[Guest]:
        now = time.time()
        ends = ends_of(wanted.spec, now, strict=self._vendor)
        limits = limits_of(wanted.memory, self._fleet.provider.capabilities)
        template = await asyncio.to_thread(lambda: template_of(wanted.image, load_config()))
        network = wanted.network
        if network is None and self._vendor and self._fleet.provider.capabilities.network_full:
            network = "full"  # Blaxel has no sandboxes without a network
        lifetime = self._lifetime(ends, now)
        sandbox = await AsyncSandbox.create(
            self._fleet.profile,
            template=template,
            lifetime=lifetime,
            idle_timeout=ends.idle,
            env=wanted.env,
            metadata=wanted.labels,
            network=network,
            resources=limits,
        )
        record = SandboxRecord(
            id=identifier,
            tenant=asking.tenant.name,
            address=sandbox.address,
            token=secrets.token_urlsafe(16),
            template=wanted.image,
            metadata=wanted.labels,
            started_at=now,
            timeout=self._settings.max_lifetime if lifetime is None else lifetime,
            options={
                "workspace": asking.workspace,
                "display_name": wanted.display_name,
                "network": network,
                "spec": self._kept_spec(asking, wanted),
            },
        )
        return await self._fleet.add(record, sandbox)

    def _kept_spec(self, asking: Asking, wanted: Wanted) -> dict[str, Any]:
        runtime = {**wanted.spec.get("runtime", {}), "image": wanted.image, "memory": wanted.memory}
        region = wanted.spec.get("region") or "local"
        return {**wanted.spec, "runtime": runtime, "region": region}

    def _lifetime(self, ends: Ends, now: float) -> float | None:
        """Seconds from now; never more than the gateway grants, but Blaxel grants them all.

        Raises:
            Refusal: they have passed.
        """
        left = None if ends.at is None else ends.at - now
        if left is not None and left <= 0:
            raise Refusal(400, "the sandbox would have ended already", name="VALIDATION_FAILED")
        if self._vendor:
            return left
        longest = self._settings.max_lifetime
        return longest if left is None else min(left, longest)

    async def _kept(
        self,
        asking: Asking,
        name: str,
        sandbox: AsyncSandbox,
        of: SandboxRecord,
        body: dict[str, Any],
    ) -> None:
        """Remember a copy, which lives as the body says, or as what it was made of."""
        identifier = asking.id_of(name)
        spec: dict[str, Any] = of.options["spec"]
        if body.get("lifecycle"):
            runtime = {
                key: one for key, one in spec["runtime"].items() if key not in ("ttl", "expires")
            }
            spec = {**spec, "runtime": runtime, "lifecycle": body["lifecycle"]}
        record = replace(
            of,
            id=identifier,
            address=sandbox.address,
            token=secrets.token_urlsafe(16),
            started_at=time.time(),
            options={**of.options, "spec": spec, "display_name": None, "previews": {}},
        )
        self._ghosts.pop(identifier, None)
        await self._fleet.add(record, sandbox)

    # -- finding ------------------------------------------------------------------------------

    async def _about(
        self,
        asking: Asking,
        name: str,
        handler: Callable[[Asking, SandboxRecord], Awaitable[Response]],
    ) -> Response:
        record = self._fleet.state.sandboxes.get(asking.id_of(name))
        if record is None:
            raise _missing(name)
        try:
            return await handler(asking, record)
        except SandboxNotFoundError:
            await self._fleet.forget(record)
            raise _missing(name) from None

    async def _previewed(
        self, method: str, rest: list[str], asking: Asking, record: SandboxRecord
    ) -> Response:
        return await self._previews.answer(asking, record, method, rest)

    def _told(self, asking: Asking, live: Live[Guest]) -> Response:
        return json_answer(shapes.sandbox(live.record, live.info, asking.origin))

    async def _get(self, asking: Asking, name: str) -> Response:
        live = await self._there(asking.id_of(name))
        if live is not None:
            return self._told(asking, live)
        ghost = self._ghosts.get(asking.id_of(name))
        if ghost is not None and ghost.until > time.time():
            return json_answer(shapes.sandbox(ghost.record, None, asking.origin, "TERMINATED"))
        raise _missing(name)

    async def _list(self, asking: Asking) -> Response:
        there = await self._fleet.refresh(asking.tenant)
        found = [one for one in self._fleet.state.sandboxes.values() if one.id in there]
        if wanted := asking.request.query_params.get("q"):
            found = [one for one in found if wanted in shapes.name_of(one)]
        page, cursor = page_of(found, asking.request.query_params)
        told = [shapes.sandbox(one, there[one.id], asking.origin) for one in page]
        if "blaxel-version" not in asking.request.headers:
            return json_answer(told)  # as the API was before there were versions
        meta = {"hasMore": cursor is not None, "nextCursor": cursor or "", "total": len(found)}
        return json_answer({"data": told, "meta": meta})

    # -- changing -----------------------------------------------------------------------------

    async def _update(self, asking: Asking, name: str) -> Response:
        return await self._about(asking, name, self._changed)

    async def _changed(self, asking: Asking, record: SandboxRecord) -> Response:
        wanted = wanted_of(await json_of(asking.request))
        old: dict[str, Any] = record.options["spec"]
        ends = ends_of(wanted.spec, record.started_at, strict=self._vendor)
        before = ends_of(old, record.started_at, strict=False)
        if wanted.spec.get("network") != old.get("network"):
            raise Refusal(501, "changing a sandbox's network is not served by this gateway")
        if ends.idle != before.idle:
            raise Refusal(501, "changing ttl-idle of a live sandbox is not served by this gateway")
        live = await self._fleet.fresh(record)
        if ends.at != before.at:
            now = time.time()
            if ends.at is not None and ends.at <= now:
                await self._end(record)
                return json_answer(shapes.sandbox(record, None, asking.origin, "DELETING"))
            live.info = await live.sandbox.set_lifetime(self._lifetime(ends, now))
        record.metadata = wanted.labels
        kept = {**old, **{name: wanted.spec.get(name) for name in ("lifecycle",)}}
        runtime = wanted.spec.get("runtime", {})
        kept["runtime"] = {
            **{name: one for name, one in old["runtime"].items() if name not in ("ttl", "expires")},
            **{name: runtime[name] for name in ("ttl", "expires") if runtime.get(name)},
        }
        record.options |= {
            "spec": {name: one for name, one in kept.items() if one is not None},
            "display_name": wanted.display_name,
            "updated_at": time.time(),
        }
        await self._fleet.state.save(record)
        return self._told(asking, live)

    async def _delete(self, asking: Asking, name: str) -> Response:
        return await self._about(asking, name, self._deleted)

    async def _deleted(self, asking: Asking, record: SandboxRecord) -> Response:
        if not await self._end(record):
            raise SandboxNotFoundError(f"sandbox {shapes.name_of(record)} has ended")
        return json_answer(shapes.sandbox(record, None, asking.origin, "DELETING"))

    async def _end(self, record: SandboxRecord) -> bool:
        was_there = await self._fleet.kill(record)
        if was_there and self._vendor:
            now = time.time()
            kept = {name: one for name, one in self._ghosts.items() if one.until > now}
            kept[record.id] = Ghost(record, now + GHOSTS)
            self._ghosts = dict([*kept.items()][-MAX_GHOSTS:])
        return was_there


def _missing(name: str) -> Refusal:
    return Refusal(404, f"Sandbox {name[:64]} not found", name="NOT_FOUND")
