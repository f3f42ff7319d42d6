"""The control plane: sandboxes and snapshots, over REST."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import SandboxNotFoundError, SandboxPausedError
from ..fleet import Fleet
from ..http import json_answer, json_of
from ..keys import Tenant
from ..refusal import Refusal
from ..routing import port_number
from ..settings import Settings
from ..state import SandboxRecord
from . import shapes
from .clocks import Clocks
from .creating import unknown, wanted_of
from .events import Events
from .faults import fault
from .fields import flag, pairs, query_flag, text, whole
from .lifecycle import Lifecycle
from .listing import numbered, page_of, wanted_by
from .machine import Machine
from .shapes import Place

__all__ = ["ControlPlane"]

Handler = Callable[[], Awaitable[Response]]
About = Callable[[SandboxRecord, Request], Awaitable[Response]]

INTERVALS = {
    "autostop": "auto_stop",
    "autopause": "auto_pause",
    "autoarchive": "auto_archive",
    "autodelete": "auto_delete",
}
LONGEST_SIGNED = 86_400
"""Seconds for which a signed preview URL is good."""


class ControlPlane:
    """Serves ``/api``."""

    def __init__(
        self,
        fleet: Fleet[Machine],
        settings: Settings,
        lifecycle: Lifecycle,
        clocks: Clocks,
        events: Events,
    ) -> None:
        self._fleet = fleet
        self._settings = settings
        self._lifecycle = lifecycle
        self._clocks = clocks
        self._events = events
        self._leaving: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for what is being deleted."""
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def answer(self, request: Request, path: list[str], tenant: Tenant) -> Response:
        """Serve one request.

        Raises:
            Refusal: it cannot be.
            SandboxError: likewise.
        """
        handler = self._route(request, path, tenant)
        if handler is None:
            raise fault(501, f"{request.method} /{'/'.join(path)} is not served by this gateway")
        return await handler()

    def _route(self, request: Request, path: list[str], tenant: Tenant) -> Handler | None:
        match request.method, path:
            case "POST", ["sandbox"]:
                return partial(self._create, request, tenant)
            case "GET", ["sandbox"]:
                return partial(self._list, request, tenant)
            case method, ["sandbox", identifier, *rest]:
                about = self._about(method, rest, tenant)
                return about and partial(self._do, about, identifier, request, tenant)
            case "GET", ["snapshots"]:
                return partial(self._snapshots, request, tenant)
            case method, ["snapshots", *parts] if parts:
                return partial(self._on_snapshot, method, parts, tenant)
            case "GET", ["config"]:
                return partial(self._config, request)
        return None

    def _about(self, method: str, rest: list[str], tenant: Tenant) -> About | None:
        match method, rest:
            case "POST", ["fork"]:
                return partial(self._fork, tenant=tenant)
            case "POST", ["autostop" | "autopause" | "autoarchive" | "autodelete" as name, value]:
                return partial(self._set_interval, name=INTERVALS[name], value=value)
            case "POST", ["ttl", value]:
                return partial(self._set_ttl, value=value)
            case "POST", ["public", value]:
                return partial(self._set_public, value=value)
            case "GET", ["ports", port, "preview-url"]:
                return partial(self._preview, port=port)
            case "GET", ["ports", port, "signed-preview-url"]:
                return partial(self._sign, port=port)
            case "POST", ["ports", _, "signed-preview-url", token, "expire"]:
                return partial(self._expire, token=token)
        return {
            ("GET",): self._get,
            ("DELETE",): self._delete,
            ("POST", "start"): self._start,
            ("POST", "stop"): self._stop,
            ("POST", "pause"): self._pause,
            ("POST", "archive"): self._archive,
            ("POST", "snapshot"): self._snapshot,
            ("POST", "last-activity"): self._touch,
            ("PUT", "labels"): self._label,
            ("GET", "toolbox-proxy-url"): self._toolbox,
            ("GET", "signing-key"): self._key,
            ("POST", "signing-key", "rotate"): self._rotate,
        }.get((method, *rest))

    # -- finding ------------------------------------------------------------------------------

    async def _do(
        self, about: About, identifier: str, request: Request, tenant: Tenant
    ) -> Response:
        missing = fault(404, f"Sandbox with ID or name {identifier[:64]} not found")
        record = self._lifecycle.by_name(identifier, tenant.name)
        if record is None:
            raise missing
        address = record.address
        try:
            return await about(record, request)
        except SandboxNotFoundError:
            if not await self._fleet.lost(record, address):
                raise fault(409, "Sandbox state change in progress") from None
            self._clocks.forget(record)
            raise missing from None

    def place(self, request: Request) -> Place:
        """Where a client finds this gateway."""
        return place_of(request, self._settings, self._lifecycle.memory)

    async def _shown(self, record: SandboxRecord, request: Request) -> dict[str, Any]:
        try:
            info = (await self._fleet.fresh(record)).info
        except SandboxPausedError:  # it has been put away
            info = None
        state = "destroying" if record.id in self._leaving else shapes.state_of(record, info)
        return shapes.sandbox(record, state, self.place(request))

    async def _told(self, record: SandboxRecord, request: Request, before: str = "") -> Response:
        """Answer with a sandbox to which something was done, and tell who listens."""
        record.options["updated"] = time.time()
        await self._fleet.state.save(record)
        shown = await self._shown(record, request)
        self._clocks.wind(record)
        self._tell(record, shown, before)
        return json_answer(shown)

    def _tell(self, record: SandboxRecord, shown: dict[str, Any], before: str) -> None:
        event = {"sandbox": shown, "oldState": before, "newState": shown["state"]}
        self._events.tell(record.tenant, "sandbox.state.updated", event)

    async def _get(self, record: SandboxRecord, request: Request) -> Response:
        return json_answer(await self._shown(record, request))

    async def _list(self, request: Request, tenant: Tenant) -> Response:
        wanted = wanted_by(request.query_params)
        there = await self._fleet.refresh(tenant)
        place = self.place(request)
        shown = []
        for record in [*self._fleet.state.sandboxes.values()]:
            if record.tenant != tenant.name or record.id in self._leaving:
                continue
            if not record.address or record.id in there:
                state = shapes.state_of(record, there.get(record.id))
                shown.append(shapes.sandbox(record, state, place))
        page, cursor = page_of([one for one in shown if wanted(one)], request.query_params)
        return json_answer({"items": page, "nextCursor": cursor})

    # -- making and ending --------------------------------------------------------------------

    async def _create(self, request: Request, tenant: Tenant) -> Response:
        wanted = wanted_of(await json_of(request))
        live = await self._lifecycle.create(wanted, tenant)
        self._clocks.touch(live.record)
        return await self._told(live.record, request, "creating")

    async def _delete(self, record: SandboxRecord, request: Request) -> Response:
        shown = await self._shown(record, request)
        before = shown["state"]
        leaving = self._leaving.get(record.id)
        if leaving is None:
            leaving = asyncio.create_task(self._destroy(record, request))
            self._leaving[record.id] = leaving
        if self._settings.fidelity == "vendor":  # Daytona answers before it is gone
            return json_answer({**shown, "state": "destroying", "desiredState": "destroyed"})
        await asyncio.shield(leaving)
        self._tell(record, {**shown, "state": "destroyed"}, before)
        return json_answer({**shown, "state": "destroyed", "desiredState": "destroyed"})

    async def _destroy(self, record: SandboxRecord, request: Request) -> None:
        self._clocks.forget(record)
        place = self.place(request)
        try:
            async with self._lifecycle.alone(record):
                await self._lifecycle.destroy(record)
        finally:
            del self._leaving[record.id]
        shown = shapes.sandbox(record, "destroyed", place)
        self._tell(record, shown, "destroying")

    # -- standing still -----------------------------------------------------------------------

    async def _start(self, record: SandboxRecord, request: Request) -> Response:
        async with self._lifecycle.alone(record):
            await self._lifecycle.start(record)
        self._clocks.touch(record)
        return await self._told(record, request, "starting")

    async def _stop(self, record: SandboxRecord, request: Request) -> Response:
        force = query_flag(request.query_params, "force")
        before = await self._shown(record, request)
        async with self._lifecycle.alone(record):
            await self._lifecycle.stop(record, force=force)
        if record.id not in self._fleet.state.sandboxes:
            self._clocks.forget(record)
            return json_answer({**before, "state": "destroyed"})
        return await self._told(record, request, before["state"])

    async def _pause(self, record: SandboxRecord, request: Request) -> Response:
        async with self._lifecycle.alone(record):
            await self._lifecycle.pause(record)
        return await self._told(record, request, "pausing")

    async def _archive(self, record: SandboxRecord, request: Request) -> Response:
        async with self._lifecycle.alone(record):
            await self._lifecycle.archive(record)
        return await self._told(record, request, "stopped")

    # -- what is known of it ------------------------------------------------------------------

    async def _label(self, record: SandboxRecord, request: Request) -> Response:
        record.metadata = pairs(await json_of(request), "labels")
        await self._fleet.state.save(record)
        return json_answer({"labels": record.metadata})

    async def _set_interval(
        self, record: SandboxRecord, request: Request, *, name: str, value: str
    ) -> Response:
        minutes = _minutes(value, negative=name == "auto_delete")
        other = {"auto_stop": "auto_pause", "auto_pause": "auto_stop"}.get(name)
        if other is not None and minutes:
            record.options[other] = 0
        record.options[name] = minutes
        return await self._told(record, request)

    async def _set_ttl(self, record: SandboxRecord, request: Request, *, value: str) -> Response:
        before = await self._shown(record, request)
        async with self._lifecycle.alone(record):
            await self._lifecycle.set_ttl(record, _minutes(value))
        if record.id not in self._fleet.state.sandboxes:
            return json_answer({**before, "state": "destroyed"})
        return await self._told(record, request)

    async def _set_public(self, record: SandboxRecord, request: Request, *, value: str) -> Response:
        record.options["public"] = value == "true"
        return await self._told(record, request)

    async def _touch(self, record: SandboxRecord, request: Request) -> Response:
        self._clocks.touch(record)
        return Response(status_code=201)

    async def _toolbox(self, record: SandboxRecord, request: Request) -> Response:
        return json_answer({"url": self.place(request).toolbox})

    async def _key(self, record: SandboxRecord, request: Request) -> Response:
        return json_answer(record.token)

    async def _rotate(self, record: SandboxRecord, request: Request) -> Response:
        record.token = secrets.token_urlsafe(32)
        await self._fleet.state.save(record)
        return json_answer(record.token)

    async def _config(self, request: Request) -> Response:
        raise fault(501, "what this gateway is made of is not told")

    # -- ports --------------------------------------------------------------------------------

    async def _preview(self, record: SandboxRecord, request: Request, *, port: str) -> Response:
        number = port_number(port)
        url = f"{request.url.scheme}://{number}-{record.id}.{self._settings.domain}"
        return json_answer({"sandboxId": record.id, "url": url, "token": record.traffic_token})

    async def _sign(self, record: SandboxRecord, request: Request, *, port: str) -> Response:
        number = port_number(port)
        seconds = request.query_params.get("expiresInSeconds", "60")
        plain = seconds.isascii() and seconds.isdigit() and len(seconds) <= 9
        if not (plain and 0 < int(seconds) <= LONGEST_SIGNED):
            raise fault(400, f"expiresInSeconds is not a number from 1 to {LONGEST_SIGNED}")
        token = secrets.token_hex(16)
        signed: dict[str, Any] = record.options.setdefault("signed", {})
        now = time.time()
        for old in [name for name, (_, ends) in signed.items() if ends < now]:
            del signed[old]
        signed[token] = [number, now + int(seconds)]
        await self._fleet.state.save(record)
        url = f"{request.url.scheme}://{number}-{token}.{self._settings.domain}"
        return json_answer({"sandboxId": record.id, "port": number, "token": token, "url": url})

    async def _expire(self, record: SandboxRecord, request: Request, *, token: str) -> Response:
        if record.options.get("signed", {}).pop(token, None) is None:
            raise fault(404, "there is no such signed preview URL")
        await self._fleet.state.save(record)
        return Response(status_code=200)

    # -- copies -------------------------------------------------------------------------------

    async def _snapshot(self, record: SandboxRecord, request: Request) -> Response:
        body = await json_of(request)
        name = whole(body, "name")
        async with self._lifecycle.alone(record):
            await self._lifecycle.snapshot(record, name, memory=flag(body, "includeMemory"))
        return json_answer(await self._shown(record, request))

    async def _snapshots(self, request: Request, tenant: Tenant) -> Response:
        query = request.query_params
        mine = [one for one in self._fleet.state.snapshots.values() if one.tenant == tenant.name]
        if wanted := query.get("sourceSandboxId"):
            mine = [one for one in mine if one.sandbox == wanted]
        if name := query.get("name"):
            mine = [one for one in mine if any(name in other for other in one.names)]
        mine.sort(key=lambda one: (one.created_at, one.id), reverse=query.get("order") != "asc")
        place = self.place(request)
        return json_answer(numbered([shapes.snapshot(one, place) for one in mine], query))

    async def _on_snapshot(self, method: str, parts: list[str], tenant: Tenant) -> Response:
        activate = parts[-1] == "activate" and method == "POST"
        name = "/".join(parts[:-1] if activate else parts)
        record = self._lifecycle.snapshot_named(name, tenant.name)
        if record is None:
            raise unknown(name)
        if method == "DELETE":
            await self._lifecycle.forget_snapshot(record)
            return Response(status_code=200)
        if method == "GET" or activate:
            place = Place("", self._settings.domain, memory=self._lifecycle.memory)
            return json_answer(shapes.snapshot(record, place))
        raise fault(501, "this is not served by this gateway")

    async def _fork(self, record: SandboxRecord, request: Request, *, tenant: Tenant) -> Response:
        name = text(await json_of(request), "name") or ""
        live = await self._lifecycle.fork(record, name, tenant)
        self._clocks.touch(live.record)
        return await self._told(live.record, request, "forking")


def _minutes(value: str, *, negative: bool = False) -> int:
    digits = value.removeprefix("-") if negative else value
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise fault(400, "the interval is not a number of minutes")
    return int(value)


def place_of(request: Request, settings: Settings, memory: bool) -> Place:
    """Where a client finds this gateway: as it has named it itself."""
    host = request.headers.get("host") or settings.domain
    return Place(f"{request.url.scheme}://{host}", settings.domain, memory=memory)


def bearer(request: Request) -> str:
    """The key of a request.

    Raises:
        Refusal: there is none.
    """
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Refusal(401, "Invalid credentials", fault="UNAUTHORIZED")
    return key.strip()
