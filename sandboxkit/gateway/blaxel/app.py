"""The ASGI application: whose a request is, and who serves it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import SandboxError, SandboxNotFoundError
from ...provider import PortStream
from ..fleet import Fleet
from ..http import json_answer
from ..keys import Tenant
from ..proxy import dial, proxied
from ..refusal import Refusal, refusal_of
from ..routing import port_number
from ..settings import Settings
from ..state import SandboxRecord, State
from ..websocket import refuse, relayed
from .access import Access
from .control import ControlPlane
from .creating import is_name
from .guest import Guest
from .passing import through
from .previews import SESSION_PORT, check_preview, preview_by
from .sandbox_api import SandboxApi, port_of

__all__ = ["Gateway"]


class Place(NamedTuple):
    """What a request to a sandbox is for.

    Attributes:
        record: which sandbox.
        path: what of it, as it was written, beginning with a slash.
        port: a port of it, or ``None`` for its API.
    """

    record: SandboxRecord
    path: str
    port: int | None


class Gateway:
    """Blaxel's wire in front of a provider.

    Args:
        settings: how to serve.
        ready: called when the server is up; the socket takes connections then.
    """

    def __init__(self, settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._ready = ready
        self.fleet: Fleet[Guest] = Fleet(
            settings.profile, State(settings.state), Guest, lambda guest: guest.close()
        )
        self._access = Access(settings.keys)
        self._control = ControlPlane(self.fleet, settings, self._access)

    async def aclose(self) -> None:
        """Let go of all sandboxes; they live on."""
        await self.fleet.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        try:
            if scope["type"] == "http":
                await self._http(scope, receive, send)
            elif scope["type"] == "websocket":
                await self._websocket(scope, receive, send)
        except Refusal as refusal:
            if scope["type"] == "websocket":
                await refuse(refusal, scope, receive, send)
            else:
                body = _body_of(refusal, scope)
                await json_answer(body, refusal.status, refusal.headers)(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                await self.fleet.start()
                await send({"type": "lifespan.startup.complete"})
                self._ready()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == "/health":
            await json_answer({})(scope, receive, send)
            return
        if _is_control(scope):
            answer: ASGIApp = await self._control.answer(request)
            await answer(scope, receive, send)
            return
        place = self._place(request)
        with self.fleet.meter.stream(self._tenant(place.record)):
            async with self._minded(place.record):
                answer = await self._served(request, place)
            await answer(scope, receive, send)

    async def _served(self, request: Request, place: Place) -> ASGIApp:
        if place.port is not None:
            stream = await self._port(place.record, place.port)
            return through(partial(proxied, stream), place.path)
        live = await self.fleet.open(place.record)
        return await SandboxApi(live, self._settings, self._port).answer(request, place.path)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._place(Request({**scope, "type": "http", "method": "GET"}))
        port, path = (place.port, place.path) if place.port else port_of(place.path)
        if port is None:
            raise Refusal(501, "WebSockets of the sandbox's own API are not served by this gateway")
        with self.fleet.meter.stream(self._tenant(place.record)):
            async with self._minded(place.record):
                stream = await self._port(place.record, port)
            await through(partial(relayed, stream), path)(scope, receive, send)

    def _tenant(self, record: SandboxRecord) -> Tenant:
        return self._settings.keys.named(record.tenant)

    # -- whose it is --------------------------------------------------------------------------

    def _place(self, request: Request) -> Place:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        parts = raw.decode("latin-1").split("/", 4)
        if parts[1] == "preview" and len(parts) > 2:
            return self._previewed(request, parts[2], "/" + "/".join(parts[3:]))
        if len(parts) < 4 or parts[2] != "sandboxes":
            raise Refusal(404, "there is nothing here")
        tenant = self._access.tenant(request.scope)
        name = unquote(parts[3])
        record = self.fleet.state.sandboxes.get(f"{tenant.name}/{name}")
        if record is None or not is_name(name):
            raise _gone(name)
        return Place(record, "/" + "/".join(parts[4:]), None)

    def _previewed(self, request: Request, prefix: str, path: str) -> Place:
        found = preview_by(self.fleet.state.sandboxes.values(), prefix)
        if found is None:
            raise Refusal(404, "there is no such preview", name="ROUTE_NOT_FOUND")
        record, kept = found
        check_preview(request, kept)
        port = kept["spec"]["port"]
        return Place(record, path, None if port == SESSION_PORT else port)

    # -- who serves it ------------------------------------------------------------------------

    async def _port(self, record: SandboxRecord, port: int) -> PortStream:
        live = await self.fleet.open(record)
        if not self.fleet.provider.capabilities.ports:
            raise Refusal(501, "the provider cannot reach ports")
        return await dial(
            self.fleet.provider,
            live.sandbox.id,
            record.id.partition("/")[2],
            port_number(str(port)),
        )

    @contextlib.asynccontextmanager
    async def _minded(self, record: SandboxRecord) -> AsyncIterator[None]:
        try:
            yield
        except SandboxNotFoundError:
            await self.fleet.forget(record)
            raise _gone(record.id.partition("/")[2]) from None
        except SandboxError as error:
            raise refusal_of(error) from None


def _is_control(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == "/v0" or path.startswith("/v0/")


def _body_of(refusal: Refusal, scope: Scope) -> dict[str, object]:
    """The body of an error: three shapes, by who is asked."""
    name = refusal.more.get("name") or str(refusal.more.get("error_code", "ERROR")).upper()
    message, status = refusal.message, refusal.status
    if not _is_control(scope):
        if status in (404, 502) and refusal.more.get("name"):
            return {"error": {"code": name, "message": message, "status": status}}
        return {"error": message}
    if (scope["method"], scope["path"]) == ("POST", "/v0/sandboxes"):
        return {"code": name, "message": message, "status_code": status}
    return {"error": name, "code": status, "message": message}


def _gone(name: str) -> Refusal:
    return Refusal(404, f"there is no sandbox {name[:64]}", name="WORKLOAD_NOT_FOUND")
