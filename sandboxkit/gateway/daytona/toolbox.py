"""The toolbox of a sandbox: its commands, sessions, terminals, files, code and ports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import PortRefusedError
from ...provider import ConnectPortRequest
from ..fleet import Fleet, Live
from ..http import json_answer, json_of
from ..refusal import Refusal
from ..routing import port_number
from ..settings import Settings
from .faults import fault
from .fields import flag, number, pairs, query_flag, text, texts, whole
from .filesystem import Filesystem
from .interpreter import Interpreter
from .machine import Machine, environment, home_of
from .processes import Processes
from .sockets import BROKEN, Socket
from .terminals import envs_of
from .transfers import Transfers

__all__ = ["Toolbox"]

Handler = Callable[[Request], Awaitable[ASGIApp]]
PATIENCE = 5.0
"""Seconds within which a port answers, or does not."""


class Toolbox:
    """One client's call to one sandbox.

    Args:
        live: the sandbox.
        settings: how to serve.
        fleet: that it is of.
    """

    def __init__(self, live: Live[Machine], settings: Settings, fleet: Fleet[Machine]) -> None:
        self._live = live
        self._machine = live.extra
        self._options = live.record.options
        self._vendor = settings.fidelity == "vendor"
        self._max = settings.max_upload
        self._provider = fleet.provider
        self._state = fleet.state

    async def answer(self, request: Request, path: list[str]) -> ASGIApp:
        """Serve a request.

        Raises:
            Refusal: it cannot be.
            SandboxError: likewise.
        """
        handler = self._on_files(request.method, path) or self._plain(request.method, path)
        if handler is not None:
            return await handler(request)
        match path:
            case ["process", "session", *rest]:
                return await self._session(request, rest)
            case ["process", "pty", *rest]:
                return await self._terminal(request, rest)
            case ["process", "interpreter", "context", *rest]:
                return await self._context(request, rest)
            case ["port", number, "in-use"] if request.method == "GET":
                return json_answer({"isInUse": await self._listens(port_number(number))})
        raise fault(501, f"{request.method} /{'/'.join(path)} is not served by this gateway")

    def _on_files(self, method: str, path: list[str]) -> Handler | None:
        if path[:1] != ["files"]:
            return None
        files, transfers = Filesystem(self._machine), Transfers(self._machine, self._max)
        handlers: dict[tuple[str, ...], Handler] = {
            ("GET",): files.list,
            ("DELETE",): files.remove,
            ("GET", "info"): files.stat,
            ("POST", "folder"): files.make,
            ("POST", "move"): files.move,
            ("POST", "permissions"): files.permit,
            ("GET", "search"): files.search,
            ("GET", "find"): files.find,
            ("POST", "replace"): files.replace,
            ("GET", "download"): transfers.download,
            ("POST", "bulk-download"): transfers.bulk_download,
            ("POST", "bulk-upload"): transfers.bulk_upload,
            ("POST", "upload-v2"): transfers.upload,
        }
        return handlers.get((method, *path[1:]))

    def _plain(self, method: str, path: list[str]) -> Handler | None:
        processes = Processes(self._machine, self._options, vendor=self._vendor)
        handlers: dict[tuple[str, ...], Handler] = {
            ("POST", "process", "execute"): processes.execute,
            ("POST", "process", "code-run"): processes.run_code,
            ("GET", "user-home-dir"): self._home,
            ("GET", "work-dir"): self._work,
            ("GET", "version"): self._version,
            ("GET", "system", "metrics"): self._metrics,
            ("POST", "env"): self._set_env,
            ("GET", "port"): self._ports,
        }
        return handlers.get((method, *path))

    # -- sessions -----------------------------------------------------------------------------

    async def _session(self, request: Request, path: list[str]) -> Response:
        sessions = self._machine.sessions
        match request.method, path:
            case "GET", []:
                return json_answer(sessions.all())
            case "POST", []:
                name = whole(await json_of(request), "sessionId")
                await sessions.make(
                    name,
                    self._machine.shell,
                    env=environment(self._options),
                    user=None,
                    vendor=self._vendor,
                )
                return Response(status_code=201)
            case "GET", [identifier]:
                return json_answer(sessions.get(identifier).shown())
            case "DELETE", [identifier]:
                await sessions.remove(identifier)
                return Response(status_code=204)
            case "POST", [identifier, "exec"]:
                return await self._session_run(request, identifier)
            case method, [identifier, "command", command, *rest]:
                return await self._command(request, identifier, command, (method, *rest))
        raise fault(501, "this is not served by this gateway")

    async def _session_run(self, request: Request, identifier: str) -> Response:
        body = await json_of(request)
        waiting = not (flag(body, "runAsync") or flag(body, "async"))
        session = self._machine.sessions.get(identifier)
        command = await session.run(whole(body, "command"), waiting=waiting)
        if not waiting:
            return json_answer({"cmdId": command.id}, 202)
        log = command.log
        told = {"output": log.text(), "stdout": log.text("stdout"), "stderr": log.text("stderr")}
        return json_answer({"cmdId": command.id, "exitCode": command.exit_code, **told})

    async def _command(
        self, request: Request, identifier: str, name: str, verb: tuple[str, ...]
    ) -> Response:
        session = self._machine.sessions.get(identifier)
        command = session.command(name)
        match verb:
            case ("GET",):
                return json_answer(command.shown())
            case ("GET", "logs"):
                log = command.log
                both = {"stdout": log.text("stdout"), "stderr": log.text("stderr")}
                return json_answer({"output": log.text(), **both})
            case ("POST", "input"):
                data = text(await json_of(request), "data", "") or ""
                await session.type(command, data)
                return Response(status_code=204)
        raise fault(501, "this is not served by this gateway")

    # -- terminals ----------------------------------------------------------------------------

    async def _terminal(self, request: Request, path: list[str]) -> Response:
        terminals = self._machine.terminals
        match request.method, path:
            case "GET", []:
                return json_answer({"sessions": terminals.all()})
            case "POST", []:
                body = await json_of(request)
                made = await terminals.make(
                    whole(body, "id"),
                    self._machine.shell,
                    cwd=text(body, "cwd") or None,
                    envs=pairs(body, "envs"),
                    rows=number(body, "rows") or 24,
                    cols=number(body, "cols") or 80,
                    user=None,
                )
                return json_answer({"sessionId": made.id}, 201)
            case "GET", [identifier]:
                return json_answer(terminals.get(identifier).shown())
            case "DELETE", [identifier]:
                await terminals.remove(identifier)
                return json_answer({"message": "PTY session deleted"})
            case "POST", [identifier, "resize"]:
                body = await json_of(request)
                rows, cols = number(body, "rows") or 0, number(body, "cols") or 0
                return json_answer((await terminals.resize(identifier, rows, cols)).shown())
        raise fault(501, "this is not served by this gateway")

    # -- code ---------------------------------------------------------------------------------

    async def _context(self, request: Request, path: list[str]) -> Response:
        interpreter = Interpreter(self._machine)
        match request.method, path:
            case "GET", []:
                return json_answer(await interpreter.list())
            case "POST", []:
                return json_answer(await interpreter.create(await json_of(request)))
            case "DELETE", [identifier]:
                return json_answer(await interpreter.remove(identifier))
        raise fault(501, "this is not served by this gateway")

    # -- WebSockets ---------------------------------------------------------------------------

    async def serve(self, socket: Socket, request: Request, path: list[str]) -> None:
        """Serve a WebSocket.

        Raises:
            Refusal: it cannot be opened.
            SandboxError: likewise.
        """
        query = request.query_params
        match path:
            case ["process", "session", identifier, "command", name, "logs"]:
                if not query_flag(query, "follow"):
                    raise fault(400, "a WebSocket of logs follows them")
                await _follow(socket, self._machine.sessions.get(identifier).command(name).log)
            case ["process", "pty", "create-connect"]:
                await self._open_terminal(socket, request)
            case ["process", "pty", identifier, "connect"]:
                terminals = self._machine.terminals
                await terminals.serve(socket, terminals.get(identifier))
            case ["process", "interpreter", "execute"]:
                await Interpreter(self._machine).serve(socket)
            case _:
                raise fault(501, "this WebSocket is not served by this gateway")

    async def _open_terminal(self, socket: Socket, request: Request) -> None:
        query = request.query_params
        size = {name: query.get(name) or "0" for name in ("rows", "cols")}
        if not query.get("id") or not all(one.isascii() and one.isdigit() for one in size.values()):
            raise fault(400, "the PTY has no id, or no size")
        terminals = self._machine.terminals
        envs = {**environment(self._options), **envs_of(socket.offered)}
        made = await terminals.make(
            query["id"],
            self._machine.shell,
            cwd=query.get("cwd") or None,
            envs=envs,
            rows=int(size["rows"][:9]) or 24,
            cols=int(size["cols"][:9]) or 80,
            user=None,
        )
        await terminals.serve(socket, made)

    # -- the sandbox itself -------------------------------------------------------------------

    async def _home(self, request: Request) -> Response:
        return json_answer({"dir": home_of(self._machine.about, self._options.get("user"))})

    async def _work(self, request: Request) -> Response:
        return json_answer({"dir": self._machine.about.workdir})

    async def _version(self, request: Request) -> Response:
        return json_answer({"version": "sandboxkit"})

    async def _metrics(self, request: Request) -> Response:
        before, now = self._machine.measured, await self._live.sandbox.metrics()
        self._machine.measured = now
        used = 0.0
        if before is not None and None not in (before.cpu_seconds, now.cpu_seconds):
            passed = max(0.001, (now.at - before.at).total_seconds())
            used = ((now.cpu_seconds or 0) - (before.cpu_seconds or 0)) / passed * 100
        told: dict[str, Any] = {
            "cpuCount": round(now.cpu_limit or 1),
            "cpuUsedPct": max(0.0, used),
            "memUsed": now.memory_used,
            "memTotal": now.memory_limit,
            "diskUsed": now.disk_used,
            "diskTotal": now.disk_limit,
            "timestamp": now.at.isoformat().replace("+00:00", "Z"),
            "timestampUnix": int(now.at.timestamp()),
        }
        return json_answer({name: value for name, value in told.items() if value is not None})

    async def _set_env(self, request: Request) -> Response:
        body = await json_of(request)
        added = environment(self._options)
        for name in texts(body, "unset"):
            added.pop(name, None)
        self._options["set_env"] = {**added, **pairs(body, "set")}
        await self._state.save(self._live.record)
        return Response(status_code=200)

    # -- ports --------------------------------------------------------------------------------

    async def _ports(self, request: Request) -> Response:
        listing = ["cat", "/proc/net/tcp", "/proc/net/tcp6"]
        found = set()
        for line in (await self._live.sandbox.run(listing, timeout=30)).stdout.splitlines():
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A":
                found.add(int(fields[1].rpartition(":")[2], 16))
        return json_answer({"ports": sorted(found)})

    async def _listens(self, port: int) -> bool:
        if not self._provider.capabilities.ports:
            raise Refusal(501, "the provider cannot reach ports")
        request = ConnectPortRequest(sandbox_id=self._live.sandbox.id, port=port)
        try:
            async with asyncio.timeout(PATIENCE):
                stream = await self._provider.connect_port(request)
        except (PortRefusedError, TimeoutError):
            return False
        await stream.aclose()
        return True


async def _follow(socket: Socket, log: Any) -> None:
    await socket.accept()

    async def told() -> None:
        async for piece in log.follow():
            await socket.send(piece)
        await socket.close()

    telling, leaving = asyncio.create_task(told()), asyncio.create_task(socket.left())
    try:
        await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (telling, leaving):
            task.cancel()
        await asyncio.gather(telling, leaving, return_exceptions=True)
        await socket.close(BROKEN)
