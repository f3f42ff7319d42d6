"""The ASGI application: whose a request is, and who serves it."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import SandboxError, SandboxNotFoundError, SandboxPausedError
from ...provider import PortStream
from ..fleet import Fleet, Live
from ..http import json_answer
from ..keys import Tenant
from ..proxy import dial, proxied
from ..refusal import Refusal
from ..routing import header, port_number
from ..settings import Settings
from ..state import SandboxRecord, State
from ..websocket import relayed
from .clocks import Clocks
from .control import ControlPlane, bearer
from .events import Events
from .faults import Source, fault, fault_answer, fault_of
from .lifecycle import Lifecycle
from .machine import Machine
from .signature import OPERATIONS, check_signature
from .sockets import Socket
from .toolbox import Toolbox

__all__ = ["Gateway"]

_HOST = re.compile(r"(\d{1,5})-([0-9a-f-]{32,36})\.[^.].*")
TOKEN = b"x-daytona-preview-token"


class Gateway:
    """Daytona's wire in front of a provider.

    Args:
        settings: how to serve.
        ready: called when the server is up; the socket takes connections then.
    """

    def __init__(self, settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._ready = ready
        self.fleet: Fleet[Machine] = Fleet(
            settings.profile, State(settings.state), Machine, lambda machine: machine.close()
        )
        self._events = Events(settings.keys)
        self._lifecycle = Lifecycle(self.fleet)
        self._clocks = Clocks(self.fleet, self._lifecycle, lambda record: None)
        self._control = ControlPlane(
            self.fleet, settings, self._lifecycle, self._clocks, self._events
        )

    async def aclose(self) -> None:
        """Let go of all sandboxes; they live on."""
        await self._clocks.close()
        await self._control.close()
        await self.fleet.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = [part for part in scope["path"].split("/") if part]
        source: Source = "DAYTONA_API" if path[:1] == ["api"] else "DAYTONA_DAEMON"
        try:
            try:
                if scope["type"] == "http":
                    await self._http(scope, receive, send, path)
                elif scope["type"] == "websocket":
                    await self._websocket(scope, receive, send, path)
            except SandboxError as error:
                raise fault_of(error) from None
        except Refusal as refusal:
            if scope["type"] == "websocket":
                await Socket(scope, receive, send).refuse(refusal)
            else:
                answer = fault_answer(refusal, source, scope["path"])
                await answer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                await self.fleet.start()
                memory = self.fleet.provider.capabilities.pause_keeps == "memory"
                # Daytona's usual sandboxes are containers, which cannot be paused.
                self._lifecycle.memory = memory and self._settings.fidelity == "contract"
                for record in self.fleet.state.sandboxes.values():
                    self._clocks.wind(record)
                await send({"type": "lifespan.startup.complete"})
                self._ready()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    # -- whose it is --------------------------------------------------------------------------

    def _tenant(self, request: Request) -> Tenant:
        tenant = self._settings.keys.tenant(bearer(request))
        if tenant is None:
            raise fault(401, "Invalid credentials")
        return tenant

    def _preview(self, scope: Scope) -> tuple[SandboxRecord, int] | None:
        """The sandbox and the port that a host names; the right to it is checked."""
        found = _HOST.fullmatch((header(scope["headers"], b"host") or "").lower())
        if found is None:
            return None
        port, name = port_number(found[1]), found[2]
        for record in self.fleet.state.sandboxes.values():
            signed = record.options.get("signed", {}).get(name)
            if signed is not None and signed[0] == port and signed[1] > time.time():
                return record, port
        named = self.fleet.state.sandboxes.get(name)
        if named is None:
            raise fault(404, "Sandbox not found")
        given = (header(scope["headers"], TOKEN) or "").encode("utf-8", "replace")
        wanted = (named.traffic_token or "").encode()
        if not named.options.get("public") and not hmac.compare_digest(given, wanted):
            raise fault(401, "x-daytona-preview-token is missing or wrong")
        return named, port

    def _for_toolbox(self, request: Request, path: list[str]) -> tuple[SandboxRecord, Tenant]:
        """The sandbox that a request to a toolbox names; the right to it is checked."""
        record = self.fleet.state.sandboxes.get(path[1]) if len(path) > 1 else None
        if "signature" in request.query_params and path[2:3] == ["files"]:
            if record is None or (request.method, *path[3:]) not in OPERATIONS:
                raise fault(401, "the signature is not valid")
            check_signature(request.query_params, request.method, record)
            return record, self._settings.keys.named(record.tenant)
        tenant = self._tenant(request)
        if record is None or record.tenant != tenant.name:
            raise fault(404, "Sandbox not found")
        return record, tenant

    # -- who serves it ------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send, path: list[str]) -> None:
        preview = self._preview(scope)
        if preview is not None:
            record, port = preview
            with self.fleet.meter.stream(self._settings.keys.named(record.tenant)):
                with self._clocks.using(record):
                    stream = await self._port(record, port)
                    await partial(proxied, stream)(scope, receive, send)
            return
        request = Request(scope, receive)
        answer: ASGIApp
        match path:
            case ["api", "health"] | ["health"]:
                answer = json_answer({"status": "ok"})
            case ["api", *rest]:
                answer = await self._control.answer(request, rest, self._tenant(request))
            case ["toolbox", *_]:
                await self._toolbox(request, path, send)
                return
            case _:
                raise fault(404, "there is nothing here: the API is under /api")
        await answer(scope, receive, send)

    async def _toolbox(self, request: Request, path: list[str], send: Send) -> None:
        record, tenant = self._for_toolbox(request, path)
        with self.fleet.meter.stream(tenant), self._clocks.using(record):
            live = await self._awake(record)
            toolbox = Toolbox(live, self._settings, self.fleet)
            answer = await toolbox.answer(request, path[2:])
            await answer(request.scope, request.receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, path: list[str]) -> None:
        preview = self._preview(scope)
        socket = Socket(scope, receive, send)
        if preview is not None:
            record, port = preview
            with self.fleet.meter.stream(self._settings.keys.named(record.tenant)):
                with self._clocks.using(record):
                    await relayed(await self._port(record, port), scope, receive, send)
            return
        if path == ["api", "socket.io"]:
            await self._events.serve(socket)
            return
        if path[:1] != ["toolbox"]:
            raise fault(404, "there is no WebSocket here")
        # What is checked of a request is the same for both kinds.
        request = Request({**scope, "type": "http", "method": "GET"}, receive)
        record, tenant = self._for_toolbox(request, path)
        with self.fleet.meter.stream(tenant), self._clocks.using(record):
            live = await self._awake(record)
            toolbox = Toolbox(live, self._settings, self.fleet)
            await toolbox.serve(socket, request, path[2:])

    async def _awake(self, record: SandboxRecord) -> Live[Machine]:
        if not record.address:
            raise fault(400, "Sandbox is not running")
        try:
            return await self.fleet.open(record)
        except SandboxPausedError:  # it was stopped just now
            raise fault(400, "Sandbox is not running") from None
        except SandboxNotFoundError:
            raise fault(404, "Sandbox not found") from None

    async def _port(self, record: SandboxRecord, port: int) -> PortStream:
        live = await self._awake(record)
        provider = self.fleet.provider
        if not provider.capabilities.ports:
            raise Refusal(501, "the provider cannot reach ports")
        try:
            return await dial(provider, live.sandbox.id, record.id, port)
        except SandboxPausedError:
            raise fault(400, "Sandbox is not running") from None
