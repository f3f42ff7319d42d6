"""Volumes: directories of this machine that sandboxes share, and their files over HTTP.

A volume's files are read and written in a sandbox that has it mounted, never by this process: what
a sandbox has left in it, such as links, then leads nowhere but within that sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import posixpath
import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import FileError, PathNotFoundError, SandboxNotFoundError
from ...models import FileInfo
from ...sandbox import AsyncSandbox
from ..fleet import Fleet
from ..http import Stream, chunks_of, json_answer, json_of
from ..keys import Tenant
from ..refusal import Refusal
from ..routing import header
from ..settings import Settings
from ..state import VolumeRecord
from .guest import Guest
from .shapes import when
from .transfers import file_refusal

__all__ = ["CONTENT", "Volumes"]

CONTENT = "/volumecontent/"
INSIDE = "/volume"
"""Where a volume is mounted in the sandbox that its files are reached by."""
HELPER = 600.0
"""Seconds that such a sandbox lives; then the next request makes another."""
MOST = 100
"""Volumes of a tenant."""
OWNER = 1000
"""Whose a volume's directory is where this process is root, which may own none."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KINDS = {"file": "file", "directory": "directory", "symlink": "symlink"}
_IDS = {"root": 0, "user": 1000}


class Volumes:
    """All volumes of a gateway.

    Args:
        fleet: its records and its provider.
        settings: how to serve.
    """

    def __init__(self, fleet: Fleet[Guest], settings: Settings) -> None:
        self._fleet = fleet
        self._settings = settings
        self._helpers: dict[str, AsyncSandbox] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        kept = settings.state is not None
        self._place = (
            Path(f"{settings.state}.volumes")
            if kept
            else Path(tempfile.gettempdir()) / f"sandboxkit-volumes-{secrets.token_hex(8)}"
        )
        self._kept = kept

    async def aclose(self) -> None:
        """Let go of them; they are kept if the state is."""
        for name in [*self._helpers]:
            await self._close(name)
        if not self._kept:
            await asyncio.to_thread(shutil.rmtree, self._place, ignore_errors=True)

    async def _close(self, identifier: str) -> None:
        helper = self._helpers.pop(identifier, None)
        if helper is not None:
            with contextlib.suppress(SandboxNotFoundError):
                await helper.kill()
            await helper.close()

    # -- volumes ------------------------------------------------------------------------------

    def _mine(self, tenant: Tenant) -> list[VolumeRecord]:
        return [one for one in self._fleet.state.volumes.values() if one.tenant == tenant.name]

    def _one(self, tenant: Tenant, identifier: str) -> VolumeRecord:
        record = self._fleet.state.volumes.get(identifier)
        if record is None or record.tenant != tenant.name:
            raise Refusal(404, f"volume '{identifier:.64}' not found")
        return record

    async def create(self, request: Request, tenant: Tenant) -> Response:
        """Make one."""
        if not self._fleet.provider.capabilities.mounts:
            raise Refusal(501, "the provider behind this gateway mounts no directories")
        name = (await json_of(request)).get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Refusal(400, "the volume's name is malformed")
        if any(one.name == name for one in self._mine(tenant)):
            raise Refusal(409, f"there is a volume '{name}' already")
        if len(self._mine(tenant)) >= MOST:
            headers = {"Retry-After": "60", "Should-Retry": "false"}
            raise Refusal(429, f"there are {MOST} volumes already", headers=headers)
        record = VolumeRecord(
            id="v" + secrets.token_hex(10),
            tenant=tenant.name,
            name=name,
            token=secrets.token_urlsafe(32),
        )
        await asyncio.to_thread(self._make, self._directory(record))
        await self._fleet.state.save(record)
        return json_answer(_told(record), 201)

    def _directory(self, record: VolumeRecord) -> Path:
        return self._place / record.id

    def _make(self, directory: Path) -> None:
        # Others on this machine find the way in for sandboxes' users, and nothing else.
        directory.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(directory, OWNER, OWNER)

    async def listed(self, tenant: Tenant) -> Response:
        """Those of a tenant."""
        return json_answer([{"volumeID": one.id, "name": one.name} for one in self._mine(tenant)])

    async def get(self, tenant: Tenant, identifier: str) -> Response:
        """One, with what its files want."""
        return json_answer(_told(self._one(tenant, identifier)))

    async def destroy(self, tenant: Tenant, identifier: str) -> Response:
        """Remove one, with its files."""
        record = self._one(tenant, identifier)
        await self._fleet.state.forget(record)
        await self._close(record.id)
        await asyncio.to_thread(shutil.rmtree, self._directory(record), ignore_errors=True)
        return Response(status_code=204)

    def mounts(self, tenant: Tenant, wanted: Sequence[Mapping[str, str]]) -> list[str]:
        """What a new sandbox is to have mounted.

        Raises:
            Refusal: there is no such volume.
        """
        found = []
        for one in wanted:
            name, path = one["name"], one["path"]
            record = next((one for one in self._mine(tenant) if name in (one.id, one.name)), None)
            if record is None:
                raise Refusal(404, f"volume '{name:.64}' not found")
            found.append(f"{self._directory(record)}:{path}:rw")
        return found

    # -- their files --------------------------------------------------------------------------

    async def content(self, request: Request) -> ASGIApp:
        """Serve a request for a volume's files; its token is the right to them.

        Raises:
            Refusal: it cannot be.
        """
        identifier, _, kind = request.scope["path"].removeprefix(CONTENT).partition("/")
        record = self._fleet.state.volumes.get(identifier)
        given = (header(request.scope["headers"], b"authorization") or "").removeprefix("Bearer ")
        token = "" if record is None else record.token
        if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()) or not token:
            raise Refusal(401, "the volume's token is missing or wrong")
        assert record is not None
        path = posixpath.normpath("/" + request.query_params.get("path", ""))
        if "\0" in path:
            raise Refusal(400, "a NUL byte cannot be in a path")
        try:
            return await self._answered(record, request, kind, INSIDE + path.rstrip("/"))
        except SandboxNotFoundError:  # the helper's time was over
            await self._close(record.id)
            if request.method == "PUT":
                raise Refusal(503, "try again", headers={"Retry-After": "0"}) from None
            return await self._answered(record, request, kind, INSIDE + path.rstrip("/"))
        except PathNotFoundError:
            raise Refusal(404, f"path '{path}' does not exist") from None
        except FileError as error:
            raise file_refusal(error) from None

    async def _helper(self, record: VolumeRecord) -> AsyncSandbox:
        async with self._opening.setdefault(record.id, asyncio.Lock()):
            found = self._helpers.get(record.id)
            if found is not None and await found.is_running():
                return found
            await self._close(record.id)
            made = self._helpers[record.id] = await AsyncSandbox.create(
                self._fleet.profile,
                lifetime=HELPER,
                network="none",
                mounts=[f"{self._directory(record)}:{INSIDE}:rw"],
            )
            return made

    async def _answered(
        self, record: VolumeRecord, request: Request, kind: str, path: str
    ) -> ASGIApp:
        box = await self._helper(record)
        files = box.files
        match request.method, kind:
            case "GET", "path":
                return json_answer(_stat(await files.stat(path)))
            case "GET", "dir":
                depth = request.query_params.get("depth", "1")
                found = await files.list(path, depth=int(depth) if _digits(depth) else 1)
                return json_answer([_stat(one) for one in found])
            case "POST", "dir":
                await files.mkdir(path)
                return await self._changed(box, path, request.query_params, 201)
            case "GET", "file":
                pieces = files.read_stream(path)
                begun = await anext(pieces, b"")
                return Stream(_joined(begun, pieces), "application/octet-stream")
            case "PUT", "file":
                await files.write(path, chunks_of(request.receive, self._settings.max_upload))
                return await self._changed(box, path, request.query_params, 201)
            case "PATCH", "path":
                return await self._changed(box, path, await json_of(request), 200)
            case "DELETE", "path":
                await files.remove(path, recursive=True)
                return Response(status_code=204)
        raise Refusal(404, "volumes have no such route")

    async def _changed(
        self, box: AsyncSandbox, path: str, wanted: Mapping[str, Any], status: int
    ) -> Response:
        """Give a path the mode and owner that are asked for, and tell what it is now."""
        numbers = {name: wanted.get(name) for name in ("uid", "gid", "mode")}
        for name, value in numbers.items():
            if value is not None and not _digits(str(value)):
                raise Refusal(400, f"{name} is not a number")
        if numbers["mode"] is not None:
            await box.run(["chmod", f"{int(numbers['mode']) & 0o7777:o}", path], check=True)
        if numbers["uid"] is not None or numbers["gid"] is not None:
            owner = f"{numbers['uid'] or ''}:{numbers['gid'] or ''}"
            if not (await box.run(["chown", owner, path])).ok:
                raise Refusal(501, "the provider behind this gateway cannot give files away")
        return json_answer(_stat(await box.files.stat(path)), status)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _told(record: VolumeRecord) -> dict[str, Any]:
    return {"volumeID": record.id, "name": record.name, "token": record.token}


def _stat(info: FileInfo) -> dict[str, Any]:
    moment = when(info.modified_at.astimezone(UTC))
    told: dict[str, Any] = {
        "name": info.name,
        "type": _KINDS.get(info.type, "unknown"),
        "path": info.path.removeprefix(INSIDE) or "/",
        "size": info.size,
        "mode": info.mode,
        "uid": _number(info.owner),
        "gid": _number(info.group),
        "atime": moment,
        "mtime": moment,
        "ctime": moment,
    }
    return told if info.target is None else {**told, "target": info.target}


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def _number(name: str) -> int:
    return int(name) if _digits(name) else _IDS.get(name, 65534)
