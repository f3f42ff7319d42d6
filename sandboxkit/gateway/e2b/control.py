"""The control plane: sandboxes made, listed, paused, prolonged and ended, over REST."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import string
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import SandboxError, SandboxNotFoundError, SandboxPausedError
from ...models import SandboxInfo
from ...sandbox import AsyncSandbox
from ..fleet import Fleet, Live
from ..http import MAX_JSON, json_answer, json_of, parse_object, whole_body
from ..keys import Tenant
from ..once import Once, key_of
from ..refusal import Refusal, refusal_of
from ..settings import Settings as GatewaySettings
from ..state import SandboxRecord, SnapshotRecord
from . import shapes
from .building import BuildError, Settings, begin
from .cold import Cold, is_cold, transitioning
from .creating import Wanted, check_pause, timeout_of, wanted_of
from .guest import Guest
from .listing import page_after, page_of
from .missing import unserved
from .openapi import document
from .origin import origin_of
from .templates import UPLOADS, Templates
from .volumes import CONTENT, Volumes

__all__ = ["ControlPlane"]

LETTERS = string.ascii_lowercase + string.digits
MOST_FORKS = 20
Handler = Callable[[], Awaitable[Response]]


def new_id() -> str:
    """A sandbox's name, which nobody can guess."""
    return "i" + "".join(secrets.choice(LETTERS) for _ in range(20))


class ControlPlane:
    """Serves the requests that name no sandbox in their headers or host."""

    def __init__(self, fleet: Fleet[Guest], settings: GatewaySettings) -> None:
        self._fleet = fleet
        self._settings = settings
        self._once = Once(fleet.state)
        self._templates = Templates(fleet, settings)
        self._volumes = Volumes(fleet, settings)
        self._cold = Cold(fleet, self._machine)

    async def aclose(self) -> None:
        """Give up what is being made."""
        await self._templates.aclose()
        await self._volumes.aclose()

    async def answer(self, request: Request) -> ASGIApp:
        """Serve one.

        Raises:
            Refusal: it cannot be.
        """
        if request.method == "GET" and request.scope["path"] == "/health":
            return json_answer({})
        if request.method == "GET" and request.scope["path"] == "/openapi.json":
            return json_answer(document())
        if request.method == "PUT" and request.scope["path"].startswith(UPLOADS):
            return await self._templates.upload(request)
        if request.scope["path"].startswith(CONTENT):
            try:
                return await self._volumes.content(request)
            except SandboxError as error:
                raise refusal_of(error) from None
        tenant = self._settings.keys.tenant(request.headers.get("x-api-key", ""))
        if tenant is None:
            raise Refusal(401, "Invalid API key, or none: it is sent as X-API-Key")
        handler = self._route(request, tenant)
        if handler is None:
            raise unserved(request.method, request.scope["path"])
        try:
            return await handler()
        except SandboxError as error:
            raise refusal_of(error) from None

    def _route(self, request: Request, tenant: Tenant) -> Handler | None:
        place = [part for part in request.scope["path"].split("/") if part]
        version = 2 if place[:1] == ["v2"] else 1
        if place[:1] in (["v1"], ["v2"], ["v3"]):
            place = place[1:]
        match request.method, place:
            case "POST", ["sandboxes"]:
                return partial(self._create, request, tenant, version)
            case "GET", ["sandboxes"]:
                return partial(self._list, request, tenant, version)
            case method, ["sandboxes", identifier, *rest]:
                verb = (method, *rest)
                handlers = {
                    ("GET",): self._get,
                    ("DELETE",): self._kill,
                    ("POST", "connect"): self._connect,
                    ("POST", "resume"): self._resume,
                    ("POST", "timeout"): self._timeout,
                    ("POST", "refreshes"): self._refresh,
                    ("POST", "pause"): self._pause,
                    ("GET", "metrics"): self._metrics,
                    ("POST", "snapshots"): self._snapshot,
                }
                if verb == ("POST", "fork"):
                    handler = partial(self._fork, tenant=tenant)
                    return partial(self._about, handler, request, tenant, identifier)
                if verb in handlers:
                    return partial(self._about, handlers[verb], request, tenant, identifier)
            case "GET", ["volumes"]:
                return partial(self._volumes.listed, tenant)
            case "POST", ["volumes"]:
                return partial(self._volumes.create, request, tenant)
            case "GET", ["volumes", identifier]:
                return partial(self._volumes.get, tenant, identifier)
            case "DELETE", ["volumes", identifier]:
                return partial(self._volumes.destroy, tenant, identifier)
            case "GET", ["snapshots"]:
                return partial(self._snapshots, request, tenant)
            case _, ["templates", *parts]:
                return self._of_templates(request, parts, tenant)
        return None

    def _of_templates(self, request: Request, parts: list[str], tenant: Tenant) -> Handler | None:
        builder = self._templates
        match request.method, parts:
            case "POST", []:
                return partial(builder.request, request, tenant)
            case "GET", ["aliases", *name] if name:
                return partial(self._alias, "/".join(name), tenant)
            case "POST", ["tags"]:
                return partial(builder.tag, request, tenant)
            case "DELETE", ["tags"]:
                return partial(builder.untag, request, tenant)
            case "GET", [*name, "tags"] if name:
                return partial(builder.tags, tenant, "/".join(name))
            case "GET", [template, "files", digest]:
                return partial(builder.link, request, tenant, template, digest)
            case "POST", [template, "builds", build]:
                return partial(builder.start, request, tenant, template, build)
            case "GET", [template, "builds", build, "status"]:
                return partial(builder.status, request, tenant, template, build)
            case "DELETE", [*_] if parts:
                return partial(self._delete_snapshot, "/".join(parts), tenant)
        return None

    # -- making -------------------------------------------------------------------------------

    async def _create(self, request: Request, tenant: Tenant, version: int) -> Response:
        body = await whole_body(request.receive, MAX_JSON)
        key = key_of(request.headers.get("idempotency-key"), body)
        wanted = wanted_of(parse_object(body), version, self._settings.max_lifetime)
        if not wanted.timeout:
            raise Refusal(400, "Timeout must be greater than 0")
        make = partial(self._created, wanted, tenant, key)
        if key is None:
            return await make()
        return await self._once.made(tenant.name, key, self._told_if_there, make)

    async def _created(
        self, wanted: Wanted, tenant: Tenant, key: tuple[str, str] | None
    ) -> Response:
        async with self._fleet.room(tenant):
            return self._told((await self._made(wanted, tenant, key)).record)

    def _told(self, record: SandboxRecord) -> Response:
        return json_answer(shapes.made(record, self._settings.domain), 201)

    async def _told_if_there(self, record: SandboxRecord) -> Response | None:
        with contextlib.suppress(SandboxPausedError):  # put away is there
            try:
                await self._fleet.fresh(record)
            except SandboxNotFoundError:
                return None
        return self._told(record)

    async def _made(
        self, wanted: Wanted, tenant: Tenant, key: tuple[str, str] | None
    ) -> Live[Guest]:
        check_pause(wanted, self._fleet.provider.capabilities)
        origin = await asyncio.to_thread(origin_of, wanted.template, self._fleet.state, tenant)
        if wanted.mcp and not origin.arguments:
            raise Refusal(
                501,
                "the default template has no MCP servers: build one that has the program"
                " mcp-gateway, by the name mcp-gateway",
            )
        record = SandboxRecord(
            id=new_id(),
            tenant=tenant.name,
            address="",
            token=secrets.token_urlsafe(32),
            traffic_token=None if wanted.public else secrets.token_urlsafe(24),
            template=wanted.template,
            metadata=wanted.metadata,
            started_at=time.time(),
            timeout=wanted.timeout,
            auto_pause=wanted.auto_pause,
            auto_resume=wanted.auto_resume,
            options={
                "network": wanted.asked,
                "internet": wanted.network not in (None, "none"),
                "reaches": wanted.network,
                "env": wanted.env,
                "settings": origin.settings,
                "volumes": wanted.volumes,
            },
            request=key,
        )
        sandbox = await self._machine(record, origin.arguments, wanted.timeout)
        record.address = sandbox.address
        return await self._fleet.add(record, sandbox)

    async def _machine(
        self, record: SandboxRecord, origin: Mapping[str, Any], seconds: float
    ) -> AsyncSandbox:
        """What a record is of, made anew, with what its template starts."""
        settings, options = Settings.of(record.options["settings"]), record.options
        tenant = self._settings.keys.named(record.tenant)
        sandbox = await AsyncSandbox.create(
            self._fleet.profile,
            **origin,
            workdir=settings.workdir,
            user=settings.user,
            lifetime=seconds,
            on_timeout="pause" if record.auto_pause else "kill",
            env={
                "E2B_SANDBOX": "true",
                "E2B_SANDBOX_ID": record.id,
                "E2B_TEMPLATE_ID": record.template,
                **settings.env,
                **options["env"],
            },
            metadata=record.metadata,
            network=options["reaches"],
            mounts=self._volumes.mounts(tenant, options["volumes"]) or None,
        )
        try:
            await begin(sandbox, settings)
        except BaseException as error:
            await sandbox.kill()
            await sandbox.close()
            if isinstance(error, BuildError):
                raise Refusal(500, f"template '{record.template}': {error}") from None
            raise
        return sandbox

    async def _alias(self, name: str, tenant: Tenant) -> Response:
        """Whether there is something of this name to create from."""
        await asyncio.to_thread(origin_of, name, self._fleet.state, tenant)
        return json_answer({"templateID": name, "public": False})

    # -- finding ------------------------------------------------------------------------------

    async def _about(
        self,
        handler: Callable[[SandboxRecord, Request], Awaitable[Response]],
        request: Request,
        tenant: Tenant,
        identifier: str,
    ) -> Response:
        record = self._fleet.state.sandboxes.get(identifier.partition("-")[0])
        missing = Refusal(
            404, f"Sandbox \"{identifier[:64]}\" doesn't exist or you don't have access to it"
        )
        if record is None or record.tenant != tenant.name:
            raise missing
        if is_cold(record) and handler not in (
            *(self._get, self._kill, self._connect, self._resume, self._pause),
        ):
            raise Refusal(409, f"sandbox '{record.id}' is paused")
        address = record.address
        try:
            return await handler(record, request)
        except SandboxNotFoundError:
            if await self._fleet.lost(record, address):
                raise missing from None
            raise transitioning(record) from None

    async def _list(self, request: Request, tenant: Tenant, version: int) -> Response:
        there = await self._fleet.refresh(tenant)
        for record in self._fleet.state.sandboxes.values():
            if record.tenant == tenant.name and is_cold(record):
                there[record.id] = self._cold.info(record)
        found = [
            (record, there[record.id])
            for record in self._fleet.state.sandboxes.values()
            if record.id in there
        ]
        page, token = page_of(found, request.query_params, only_running=version == 1)
        headers = {} if token is None else {"x-next-token": token}
        return json_answer([shapes.listed(*one) for one in page], headers=headers)

    async def _get(self, record: SandboxRecord, request: Request) -> Response:
        try:
            info = (await self._fleet.fresh(record)).info
        except SandboxPausedError:
            info = self._cold.info(record)
        return json_answer(shapes.detail(record, info, self._settings.domain))

    async def _metrics(self, record: SandboxRecord, request: Request) -> Response:
        live = await self._fleet.open(record)
        now = await live.sandbox.metrics()
        told = shapes.metrics(now, live.extra.measured)
        live.extra.measured = now
        return json_answer([told])

    # -- time ---------------------------------------------------------------------------------

    async def _connect(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        seconds = timeout_of(body, self._settings.max_lifetime, 300.0)
        resumed = await self._up(record, seconds, anew=body.get("memory") is False)
        told = shapes.made(record, self._settings.domain)
        return json_answer(told, 201 if resumed else 200)

    async def _up(self, record: SandboxRecord, seconds: float, *, anew: bool) -> bool:
        """Let a sandbox run for so long at least; true if it was paused. `anew` boots it then."""
        if is_cold(record):
            await self._cold.thaw(record, seconds)
            return True
        live = await self._fleet.fresh(record)
        if live.info.state != "paused":
            await self._prolong(live, seconds)
            return False
        await self.wake(live, seconds)
        if anew:
            await self._cold.freeze(live)
            await self._cold.thaw(record, seconds)
        return True

    async def _prolong(self, live: Live[Guest], seconds: float) -> None:
        """Let it live at least so long; never shorter than it would."""
        ends = live.info.expires_at
        if ends is not None and (ends - datetime.now(UTC)).total_seconds() < seconds:
            live.info = await live.sandbox.set_lifetime(seconds)

    async def wake(self, live: Live[Guest], seconds: float) -> None:
        """Resume a paused sandbox for so long."""
        await live.sandbox.resume()
        live.info = await live.sandbox.set_lifetime(seconds)

    async def _resume(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        seconds = timeout_of(body, self._settings.max_lifetime, 15.0)
        if not is_cold(record) and (await self._fleet.fresh(record)).info.state != "paused":
            raise Refusal(409, f"sandbox '{record.id}' is already running")
        await self._up(record, seconds, anew=body.get("memory") is False)
        return json_answer(shapes.made(record, self._settings.domain), 201)

    async def _timeout(self, record: SandboxRecord, request: Request) -> Response:
        seconds = timeout_of(await json_of(request), float("inf"), 0.0)
        seconds = min(seconds, self._settings.max_lifetime)
        live = await self._fleet.fresh(record)
        if seconds > 0:
            live.info = await live.sandbox.set_lifetime(seconds)
        elif record.auto_pause:
            await self._still(live)
        else:
            await self._cold.kill(record)
        return Response(status_code=204)

    async def _refresh(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        seconds = timeout_of({"timeout": body.get("duration")}, self._settings.max_lifetime, 15.0)
        await self._prolong(await self._fleet.fresh(record), seconds)
        return Response(status_code=204)

    async def _pause(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        live = None if is_cold(record) else await self._fleet.fresh(record)
        if live is None or live.info.state == "paused":
            raise Refusal(409, f"Error pausing sandbox - sandbox '{record.id}' is already paused")
        if body.get("memory") is False:
            await self._cold.freeze(live)
            return Response(status_code=204)
        live.info = await self._still(live)
        return Response(status_code=204)

    async def _still(self, live: Live[Guest]) -> SandboxInfo:
        ends = self._fleet.provider.capabilities.pause_lifetime
        return await live.sandbox.pause(self._settings.paused_lifetime if ends else None)

    async def _kill(self, record: SandboxRecord, request: Request) -> Response:
        if not await self._cold.kill(record):
            raise SandboxNotFoundError(f"sandbox {record.id} has ended")
        return Response(status_code=204)

    # -- copies -------------------------------------------------------------------------------

    async def _snapshot(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        name = body.get("name")
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= 128):
            raise Refusal(400, "name is not a name")
        live = await self._fleet.open(record)
        taken = await live.sandbox.snapshot()
        kept = SnapshotRecord(
            id=new_id()[1:] + ":default",
            tenant=record.tenant,
            address=taken.address,
            sandbox=record.id,
            names=[name] if name else [],
            created_at=time.time(),
            settings=record.options.get("settings", {}),
        )
        await self._fleet.state.save(kept)
        return json_answer(shapes.snapshot(kept), 201)

    async def _snapshots(self, request: Request, tenant: Tenant) -> Response:
        query = request.query_params
        mine = [
            one
            for one in self._fleet.state.snapshots.values()
            if one.tenant == tenant.name and not one.template
        ]
        if wanted := query.get("sandboxID"):
            mine = [one for one in mine if one.sandbox == wanted]
        if name := query.get("name"):
            mine = [one for one in mine if name in (one.id, *one.names)]
        mine.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        page, token = page_after(
            mine, [one.id for one in mine], query.get("limit"), query.get("nextToken")
        )
        headers = {} if token is None else {"x-next-token": token}
        return json_answer([shapes.snapshot(one) for one in page], headers=headers)

    async def _delete_snapshot(self, identifier: str, tenant: Tenant) -> Response:
        from ...listing import delete_snapshot

        found = [
            one
            for one in self._fleet.state.snapshots.values()
            if one.tenant == tenant.name and identifier in (one.id, one.template, *one.names)
        ]
        for record in found:
            await delete_snapshot(record.address, self._fleet.profile)
            await self._fleet.state.forget(record)
        if not found:
            raise Refusal(404, f"template '{identifier[:64]}' not found")
        return Response(status_code=204)

    async def _fork(self, record: SandboxRecord, request: Request, tenant: Tenant) -> Response:
        body = await json_of(request)
        count = body.get("count", 1)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_FORKS:
            raise Refusal(400, f"count is not a number from 1 to {MOST_FORKS}")
        seconds = timeout_of(body, self._settings.max_lifetime, record.timeout)
        live = await self._fleet.open(record)
        async with self._fleet.room(tenant, count):
            made = await live.sandbox.fork(count, lifetime=seconds)
            # All are remembered, or killed, whatever becomes of one.
            adding = [self._fleet.add(self._copy(record, one, seconds), one) for one in made]
            done = await asyncio.gather(*adding, return_exceptions=True)
            told = [one for one in done if not isinstance(one, BaseException)]
            if len(told) < len(made):
                for one in told:
                    await self._fleet.kill(one.record)
                raise next(one for one in done if isinstance(one, BaseException))
        domain = self._settings.domain
        return json_answer([{"sandbox": shapes.made(one.record, domain)} for one in told], 201)

    def _copy(self, record: SandboxRecord, sandbox: AsyncSandbox, seconds: float) -> SandboxRecord:
        return replace(
            record,
            id=new_id(),
            address=sandbox.address,
            token=secrets.token_urlsafe(32),
            traffic_token=None if record.traffic_token is None else secrets.token_urlsafe(24),
            started_at=time.time(),
            timeout=seconds,
            options={**record.options},
            request=None,
        )
