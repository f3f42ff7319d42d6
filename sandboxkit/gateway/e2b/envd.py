"""``envd``, port 49983 of every sandbox: its two services, ``/files``, and how it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import (
    InvalidRequestError,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
)
from ..fleet import Fleet, Live
from ..http import Last, Stream, chunks_of, json_answer, whole_body
from ..refusal import Refusal
from ..settings import Settings
from .call import Call, call_of
from .connect import (
    MAX_MESSAGE,
    STREAM,
    ConnectError,
    connect_error,
    ending,
    frame,
    frames_of,
    message_of,
    unary_answer,
    unary_error,
)
from .filesystem import FilesystemService
from .guest import Guest
from .process import ProcessService
from .shapes import metrics
from .transfers import Transfers

__all__ = ["ENVD_PORT", "Envd"]

ENVD_PORT = 49983

Unary = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Streaming = Callable[[dict[str, Any]], AsyncGenerator[bytes]]


class Envd:
    """Serves one request to one sandbox."""

    def __init__(self, fleet: Fleet[Guest], live: Live[Guest], settings: Settings) -> None:
        self._fleet = fleet
        self._live = live
        self._settings = settings
        self._vendor = settings.fidelity == "vendor"

    async def answer(self, request: Request) -> ASGIApp:
        """Serve it.

        Raises:
            Refusal: it cannot be.
        """
        path = request.scope["path"]
        if path == "/health" and request.method in ("GET", "HEAD"):
            return await self._health()
        if path == "/files" and request.method in ("GET", "HEAD", "POST"):
            transfers = Transfers(self._live.sandbox, self._live.info, self._settings.max_upload)
            return await transfers.answer(request)
        match request.method, path.strip("/").split("/"):
            case "POST", ["process.Process" | "filesystem.Filesystem" as service, method]:
                return await self._called(request, service, method)
            case "GET", ["metrics"]:
                return await self._metrics()
            case "GET", ["envs"]:
                return json_answer({"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": self._live.record.id})
        raise Refusal(404, "envd has no such route")

    # -- how it is ----------------------------------------------------------------------------

    async def _health(self) -> Response:
        live = await self._fleet.fresh(self._live.record)
        if live.info.state == "paused":
            raise SandboxPausedError.of(live.sandbox.address)
        return Response(status_code=204)

    async def _metrics(self) -> Response:
        now = await self._live.sandbox.metrics()
        told = metrics(now, self._live.extra.measured)
        self._live.extra.measured = now
        return json_answer(
            {
                "ts": told["timestampUnix"],
                "cpu_count": told["cpuCount"],
                "cpu_used_pct": told["cpuUsedPct"],
                "mem_used": told["memUsed"],
                "mem_total": told["memTotal"],
                "mem_cache": told["memCache"],
                "disk_used": told["diskUsed"],
                "disk_total": told["diskTotal"],
            }
        )

    # -- its services -------------------------------------------------------------------------

    async def _called(self, request: Request, service: str, method: str) -> ASGIApp:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == STREAM:
            return await self._streamed(request, service, method)
        if kind != "application/json":
            return Response(status_code=415, headers={"Accept-Post": f"application/json, {STREAM}"})
        try:
            call = call_of(request.scope)
            handler = self._unary(service, method, call)
            message = message_of(await whole_body(request.receive, MAX_MESSAGE))
            async with asyncio.timeout(call.timeout or None):
                return unary_answer(await self._minding(handler(message), call))
        except TimeoutError:
            return unary_error(ConnectError("deadline_exceeded", "the call took too long"))
        except ConnectError as error:
            return unary_error(error)

    async def _minding(self, doing: Awaitable[dict[str, Any]], call: Call) -> dict[str, Any]:
        try:
            return await doing
        except (SandboxNotFoundError, SandboxPausedError):
            raise  # whoever routes the request knows what to do
        except SandboxError as error:
            raise _connect_error(error, call) from None

    def _unary(self, service: str, method: str, call: Call) -> Unary:
        live = self._live
        if service == "process.Process":
            process = ProcessService(live.extra.running, call, vendor=self._vendor)
            handlers: dict[str, Unary] = {
                "List": process.list,
                "SendInput": process.send_input,
                "SendSignal": process.send_signal,
                "CloseStdin": process.close_stdin,
                "Update": process.update,
            }
        else:
            files = FilesystemService(live.sandbox, live.info, live.extra.watchers, call)
            handlers = {
                "Stat": files.stat,
                "ListDir": files.list_dir,
                "MakeDir": files.make_dir,
                "Move": files.move,
                "Remove": files.remove,
                "CreateWatcher": files.create_watcher,
                "GetWatcherEvents": files.get_watcher_events,
                "RemoveWatcher": files.remove_watcher,
            }
        if method not in handlers:
            raise ConnectError("unimplemented", f"there is no method {service}/{method:.40}")
        return handlers[method]

    async def _streamed(self, request: Request, service: str, method: str) -> ASGIApp:
        try:
            call = call_of(request.scope)
            if (service, method) == ("process.Process", "StreamInput"):
                return Stream(_just(await self._input(request, call)), STREAM)
            message = await _only(request)
            parts = self._stream(service, method, call)(message)
            first = await self._first(parts, call)
        except ConnectError as error:
            return Stream(_just(ending(error)), STREAM)
        return Stream(self._told(first, parts, call), STREAM)

    def _stream(self, service: str, method: str, call: Call) -> Streaming:
        live = self._live
        process = ProcessService(live.extra.running, call, vendor=self._vendor)
        files = FilesystemService(live.sandbox, live.info, live.extra.watchers, call)
        handlers: dict[tuple[str, str], Streaming] = {
            ("process.Process", "Start"): process.start,
            ("process.Process", "Connect"): process.connect,
            ("filesystem.Filesystem", "WatchDir"): files.watch_dir,
        }
        if (service, method) not in handlers:
            raise ConnectError("unimplemented", f"there is no stream {service}/{method:.40}")
        return handlers[service, method]

    async def _first(self, parts: AsyncIterator[bytes], call: Call) -> bytes:
        """What a stream begins with; what stops it from beginning is an error of the call."""
        try:
            return await anext(parts)
        except (SandboxNotFoundError, SandboxPausedError):
            raise
        except SandboxError as error:
            raise _connect_error(error, call) from None

    async def _told(
        self, first: bytes, parts: AsyncGenerator[bytes], call: Call
    ) -> AsyncIterator[bytes]:
        try:
            yield first
            try:
                async for part in parts:
                    yield part
                    if isinstance(part, Last):
                        return
            except SandboxError as error:
                raise _connect_error(error, call) from None
            yield Last(ending())
        except ConnectError as error:
            yield Last(ending(error))
        finally:
            await parts.aclose()

    async def _input(self, request: Request, call: Call) -> bytes:
        """Take a client's stream to its end; only then is there an answer."""
        process = ProcessService(self._live.extra.running, call, vendor=self._vendor)
        try:
            messages = frames_of(chunks_of(request.receive, idle=None))  # a person may type it
            return frame(await process.stream_input(messages)) + ending()
        except (SandboxNotFoundError, SandboxPausedError):
            raise
        except SandboxError as error:
            raise _connect_error(error, call) from None


def _connect_error(error: SandboxError, call: Call) -> ConnectError:
    if call.user and isinstance(error, InvalidRequestError) and "user" in error.message:
        return ConnectError("unauthenticated", f"invalid username: '{call.user}'")
    return connect_error(error)


async def _only(request: Request) -> dict[str, Any]:
    """The one message of a stream that answers one."""
    found = None
    async for message in frames_of(chunks_of(request.receive, MAX_MESSAGE + 64)):
        if found is not None:
            raise ConnectError("invalid_argument", "the stream has more than one message")
        found = message
    if found is None:
        raise ConnectError("invalid_argument", "the stream has no message")
    return found


async def _just(part: bytes) -> AsyncIterator[bytes]:
    yield Last(part)
