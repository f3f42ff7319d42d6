"""A sandbox's own API: processes, files, watches, ports."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...provider import PortStream
from ..e2b.code import CodeInterpreter
from ..fleet import Live
from ..http import json_answer
from ..proxy import proxied
from ..refusal import Refusal
from ..routing import port_number
from ..settings import Settings
from ..state import SandboxRecord
from .files import Files
from .guest import Guest
from .passing import through
from .process_api import ProcessApi
from .searching import Searching
from .trees import Trees
from .watching import watched

__all__ = ["SandboxApi", "port_of"]

CODE_PORT = 8888
"""Of the code interpreter, in the images that have one."""
_PORT = re.compile(r"/port/(\d{1,5})(/.*)?")

Dial = Callable[[SandboxRecord, int], Awaitable[PortStream]]


def port_of(path: str) -> tuple[int | None, str]:
    """The port that a path names, and what of it."""
    found = _PORT.fullmatch(path)
    return (port_number(found[1]), found[2] or "/") if found else (None, path)


class SandboxApi:
    """Serves one request to it."""

    def __init__(self, live: Live[Guest], settings: Settings, dial: Dial) -> None:
        self._live = live
        self._settings = settings
        self._dial = dial

    async def answer(self, request: Request, path: str) -> ASGIApp:
        """Serve it.

        Args:
            request: it.
            path: what it is for, as it was written, without what leads to the sandbox.

        Raises:
            Refusal: it cannot be.
        """
        live = self._live
        kind, _, rest = path.removeprefix("/").partition("/")
        files = Files(live.sandbox.files, live.extra.uploads, self._settings.max_upload)
        match kind:
            case "process":
                api = ProcessApi(live.extra.processes, vendor=self._settings.fidelity == "vendor")
                return await api.answer(request, [part for part in rest.split("/") if part])
            case "filesystem" if rest == "tree" or rest.startswith("tree/"):
                return await Trees(files).answer(
                    request, rest.removeprefix("tree").removeprefix("/")
                )
            case "filesystem":
                return await files.answer(request, rest)
            case "filesystem-multipart":
                return await files.in_parts(request, rest)
            case "filesystem-find":
                return await Searching(files).find(request, rest)
            case "filesystem-content-search":
                return await Searching(files).grep(request, rest)
            case "watch" if rest.startswith("filesystem/"):
                return await watched(live.sandbox.files, request, rest.removeprefix("filesystem/"))
            case "port":
                return await self._port(request, path)
            case "health" if request.method == "GET":
                return _health()
        raise Refusal(501, f"/{kind[:64]} is not served by this gateway")

    async def _port(self, request: Request, path: str) -> ASGIApp:
        port, rest = port_of(path)
        if port is None:
            raise Refusal(400, "the path names no port")
        if port == CODE_PORT and "jupyter" in self._live.record.template:
            return await CodeInterpreter(self._live.sandbox).answer(
                Request({**request.scope, "path": rest}, request.receive)
            )
        stream = await self._dial(self._live.record, port)
        return through(partial(proxied, stream), rest)


def _health() -> Response:
    return json_answer(
        {
            "status": "ok",
            "version": "sandboxkit",
            "arch": "",
            "os": "linux",
            "buildTime": "",
            "gitCommit": "",
            "goVersion": "",
            "startedAt": "",
            "upgradeCount": 0,
            "uptime": "",
            "uptimeSeconds": 0,
            "lastUpgrade": {"status": "idle", "step": "none", "version": ""},
        }
    )
