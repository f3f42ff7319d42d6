"""The ASGI application: whose a request is, and who serves it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import (
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
)
from ...provider import PortStream
from ..fleet import Fleet, Live
from ..http import json_answer
from ..keys import Tenant
from ..proxy import dial, proxied
from ..refusal import Refusal, refusal_of
from ..routing import Destination, destination, header
from ..settings import Settings
from ..state import SandboxRecord, State
from ..websocket import refuse, relayed
from .access import check_code, check_envd, check_traffic
from .code import CodeInterpreter
from .cold import is_cold
from .control import ControlPlane
from .envd import ENVD_PORT, Envd
from .guest import Guest
from .signature import signer_of

__all__ = ["CODE_PORT", "Gateway"]

CODE_PORT = 49999
LEAST_WAKING = 300.0
"""Seconds that a sandbox lives at least that was woken by a request."""
_ENVD_PATHS = ("/process.Process/", "/filesystem.Filesystem/", "/files", "/health", "/envs")
_CONTROL_PATHS = ("/sandboxes/", "/v2/sandboxes/")


class Gateway:
    """E2B's wire in front of a provider.

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
        self._control = ControlPlane(self.fleet, settings)

    async def aclose(self) -> None:
        """Let go of all sandboxes; they live on."""
        await self._control.aclose()
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
                answer = json_answer(refusal.body(), refusal.status, refusal.headers)
                await answer(scope, receive, send)

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
        place = self._place(request)
        if place is None:
            answer = await self._control.answer(request)
            await answer(scope, receive, send)
            return
        record = self._record(place)
        with self.fleet.meter.stream(self._tenant(record)):
            answer = await self._data_plane(request, record, place.port)
            await answer(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = destination(scope["headers"], b"e2b-sandbox-id", b"e2b-sandbox-port")
        if place is None:
            raise Refusal(404, "the control plane has no WebSockets")
        record = self._record(place)
        with self.fleet.meter.stream(self._tenant(record)):
            stream = await self._port(scope, record, place.port)
            await relayed(stream, scope, receive, send)

    def _record(self, place: Destination) -> SandboxRecord:
        record = self.fleet.state.sandboxes.get(place.sandbox)
        if record is None or is_cold(record):
            raise _gone(place.sandbox)
        return record

    def _tenant(self, record: SandboxRecord) -> Tenant:
        return self._settings.keys.named(record.tenant)

    # -- whose it is --------------------------------------------------------------------------

    def _place(self, request: Request) -> Destination | None:
        headers = request.scope["headers"]
        place = destination(headers, b"e2b-sandbox-id", b"e2b-sandbox-port")
        if place is not None:
            return None if _is_for_control(request, place) else place
        if not request.scope["path"].startswith(_ENVD_PATHS):
            return None
        # SDKs before 2.26 name a sandbox by its token alone, and signed URLs by their signature.
        record = self.fleet.state.by_token(header(headers, b"x-access-token") or "")
        query = dict(request.query_params)
        if record is None and request.scope["path"] == "/files" and "signature" in query:
            operation = "read" if request.method in ("GET", "HEAD") else "write"
            record = signer_of(query, operation, self.fleet.state.sandboxes.values())
            if record is None:
                raise Refusal(401, "invalid signature")
        return None if record is None else Destination(record.id, ENVD_PORT)

    # -- who serves it ------------------------------------------------------------------------

    async def _data_plane(self, request: Request, record: SandboxRecord, port: int) -> ASGIApp:
        if port not in (ENVD_PORT, CODE_PORT):
            return partial(proxied, await self._port(request.scope, record, port))
        check = check_envd if port == ENVD_PORT else check_code
        check(request, record)
        async with self._minded(record):
            live = await self._awake(record)
            if port == ENVD_PORT:
                return await Envd(self.fleet, live, self._settings).answer(request)
            return await CodeInterpreter(live.sandbox).answer(request)

    async def _port(self, scope: Scope, record: SandboxRecord, port: int) -> PortStream:
        check_traffic(scope, record)
        if port in (ENVD_PORT, CODE_PORT):
            raise Refusal(404, "this port has no WebSockets")
        async with self._minded(record):
            live = await self._awake(record)
            provider = self.fleet.provider
            if not provider.capabilities.ports:
                raise Refusal(501, "the provider cannot reach ports")
            return await dial(provider, live.sandbox.id, record.id, port)

    @contextlib.asynccontextmanager
    async def _minded(self, record: SandboxRecord) -> AsyncIterator[None]:
        address = record.address
        try:
            yield
        except SandboxNotFoundError:
            await self.fleet.lost(record, address)
            raise _gone(record.id) from None
        except SandboxPausedError:
            raise _gone(record.id) from None
        except SandboxError as error:
            raise refusal_of(error) from None

    async def _awake(self, record: SandboxRecord) -> Live[Guest]:
        """The sandbox; one that wakes by itself is looked at first, and woken."""
        if not record.auto_resume:
            return await self.fleet.open(record)
        live = await self.fleet.fresh(record)
        if live.info.state == "paused":
            await self._control.wake(live, max(record.timeout, LEAST_WAKING))
        return live


def _is_for_control(request: Request, place: Destination) -> bool:
    """Whether it names a sandbox though it is for the control plane: SDK 2.26 connects so."""
    return (
        place.port == ENVD_PORT
        and "x-api-key" in request.headers
        and request.scope["path"].startswith(_CONTROL_PATHS)
    )


def _gone(identifier: str) -> Refusal:
    return Refusal(
        502,
        "The sandbox was not found",
        headers={"Should-Retry": "false"},
        sandboxId=identifier,
    )
