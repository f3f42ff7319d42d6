"""The ASGI application: whose a request is, and who serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import (
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
)
from ..fleet import Fleet, Live
from ..http import json_answer
from ..refusal import Refusal, refusal_of
from ..routing import Destination, destination, header
from ..settings import Settings
from ..state import SandboxRecord, State
from .code import CodeInterpreter
from .control import ControlPlane
from .envd import ENVD_PORT, Envd
from .guest import Guest
from .signature import signer_of

__all__ = ["CODE_PORT", "Gateway"]

CODE_PORT = 49999
_ENVD_PATHS = ("/process.Process/", "/filesystem.Filesystem/", "/files", "/health", "/envs")


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
        await self.fleet.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            answer, done = await self._answer(Request(scope, receive))
        except Refusal as refusal:
            answer = json_answer(refusal.body(), refusal.status, refusal.headers)
            await answer(scope, receive, send)
            return
        with done:
            await answer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
                self._ready()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request) -> tuple[ASGIApp, contextlib.ExitStack]:
        place = self._place(request)
        if place is None:
            return await self._control.answer(request), contextlib.ExitStack()
        record = self.fleet.state.sandboxes.get(place.sandbox)
        if record is None:
            raise _gone(place.sandbox)
        with contextlib.ExitStack() as stack:
            return await self._data_plane(request, record, place.port), stack.pop_all()

    # -- whose it is --------------------------------------------------------------------------

    def _place(self, request: Request) -> Destination | None:
        headers = request.scope["headers"]
        place = destination(headers, b"e2b-sandbox-id", b"e2b-sandbox-port")
        if place is not None:
            return place
        if not request.url.path.startswith(_ENVD_PATHS):
            return None
        # SDKs before 2.26 name a sandbox by its token alone, and signed URLs by their signature.
        record = self.fleet.state.by_token(header(headers, b"x-access-token") or "")
        query = dict(request.query_params)
        if record is None and request.url.path == "/files" and "signature" in query:
            operation = "read" if request.method in ("GET", "HEAD") else "write"
            record = signer_of(query, operation, self.fleet.state.sandboxes.values())
            if record is None:
                raise Refusal(401, "invalid signature")
        return None if record is None else Destination(record.id, ENVD_PORT)

    # -- who serves it ------------------------------------------------------------------------

    async def _data_plane(self, request: Request, record: SandboxRecord, port: int) -> ASGIApp:
        try:
            live = await self.fleet.open(record)
            try:
                return await self._served(request, live, port)
            except SandboxPausedError:
                if not record.auto_resume:
                    raise _gone(record.id) from None
                await self._control.wake(live, max(record.timeout, 300.0))
                return await self._served(request, live, port)
        except SandboxNotFoundError:
            await self.fleet.forget(record)
            raise _gone(record.id) from None
        except SandboxError as error:
            raise refusal_of(error) from None

    async def _served(self, request: Request, live: Live[Guest], port: int) -> ASGIApp:
        if port == ENVD_PORT:
            return await Envd(self.fleet, live, self._settings).answer(request)
        if port == CODE_PORT:
            return await CodeInterpreter(live.sandbox).answer(request)
        raise Refusal(501, "ports are not served yet")


def _gone(identifier: str) -> Refusal:
    return Refusal(
        502,
        "The sandbox was not found",
        headers={"Should-Retry": "false"},
        sandboxId=identifier,
    )
