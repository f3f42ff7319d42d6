"""Files looked at, found, moved, removed: all but their contents' way in and out."""

from __future__ import annotations

import fnmatch
import posixpath
from datetime import UTC
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import PathNotFoundError, SandboxError
from ...models import FileInfo
from ..http import json_answer, json_of
from .faults import fault
from .fields import query_flag, text, texts
from .machine import Machine

__all__ = ["Filesystem"]

DEEPEST = 64
LARGEST_EDITED = 16 << 20
"""Bytes of a file in which text is replaced."""


class Filesystem:
    """One client's calls.

    Args:
        machine: where.
    """

    def __init__(self, machine: Machine) -> None:
        self._sandbox = machine.sandbox
        self._files = machine.sandbox.files

    def _path(self, request: Request, name: str = "path", default: str = "") -> str:
        path = request.query_params.get(name) or default
        if not path or "\0" in path:
            raise fault(400, f"{name} is missing", "INVALID_FILE_PATH")
        return path

    async def list(self, request: Request) -> Response:
        """What is in a directory."""
        depth = request.query_params.get("depth") or "1"
        if not (depth.isascii() and depth.isdigit() and 0 < int(depth[:9]) <= DEEPEST):
            raise fault(400, f"depth is not a number from 1 to {DEEPEST}")
        found = await self._files.list(self._path(request, default="."), depth=int(depth))
        return json_answer([_shown(one) for one in found])

    async def stat(self, request: Request) -> Response:
        """What is known of a file."""
        return json_answer(_shown(await self._files.stat(self._path(request))))

    async def make(self, request: Request) -> Response:
        """Make a directory, with its parents."""
        path = self._path(request)
        await self._files.mkdir(path, mode=_mode(request.query_params.get("mode") or "755"))
        return Response(status_code=201)

    async def remove(self, request: Request) -> Response:
        """Remove a file, or a directory with all in it."""
        recursive = query_flag(request.query_params, "recursive")
        path = self._path(request)
        if not recursive and (await self._files.stat(path)).is_dir:
            raise fault(400, f"cannot delete directory without recursive flag: {path}")
        await self._files.remove(path, recursive=recursive)
        return Response(status_code=204)

    async def move(self, request: Request) -> Response:
        """Rename a file or directory; into a directory that is there."""
        source, target = self._path(request, "source"), self._path(request, "destination")
        try:
            if (await self._files.stat(target)).is_dir:
                target = posixpath.join(target, posixpath.basename(source.rstrip("/")))
        except PathNotFoundError:
            await self._files.mkdir(posixpath.dirname(target) or ".")
        await self._files.rename(source, target)
        return Response(status_code=200)

    async def permit(self, request: Request) -> Response:
        """Set who may do what with a file."""
        query, path = request.query_params, self._path(request)
        await self._files.stat(path)
        if mode := query.get("mode"):
            await self._change("chmod", f"{_mode(mode):o}", path)
        owner, group = query.get("owner") or "", query.get("group") or ""
        if owner or group:
            await self._change("chown", f"{owner}:{group}" if group else owner, path)
        return Response(status_code=200)

    async def _change(self, program: str, what: str, path: str) -> None:
        result = await self._sandbox.run([program, "--", what, path], timeout=60)
        if not result.ok:
            raise fault(403, result.stderr.strip(), "FILE_ACCESS_DENIED")

    # -- searching ----------------------------------------------------------------------------

    async def search(self, request: Request) -> Response:
        """Files whose names fit a pattern."""
        top, pattern = self._path(request), request.query_params.get("pattern") or "*"
        found = await self._files.list(top, depth=DEEPEST)
        return json_answer(
            {"files": [one.path for one in found if fnmatch.fnmatchcase(one.name, pattern)]}
        )

    async def find(self, request: Request) -> Response:
        """Lines that have a text in them."""
        top, pattern = self._path(request), request.query_params.get("pattern") or ""
        await self._files.stat(top)
        grep = ["grep", "-rnIZ", "-e", pattern, "--", top]
        result = await self._sandbox.run(grep, timeout=120)
        if result.exit_code > 1:
            raise fault(400, result.stderr.strip() or "the search failed")
        matches = []
        for line in result.stdout.splitlines():
            file, _, rest = line.partition("\0")
            number, _, content = rest.partition(":")
            if number.isascii() and number.isdigit():
                matches.append({"file": file, "line": int(number), "content": content})
        return json_answer(matches)

    async def replace(self, request: Request) -> Response:
        """Replace a text in files."""
        body = await json_of(request)
        pattern, value = text(body, "pattern") or "", text(body, "newValue", "") or ""
        if not pattern:
            raise fault(400, "pattern is missing", "INVALID_REQUEST_BODY")
        return json_answer([await self._edit(one, pattern, value) for one in texts(body, "files")])

    async def _edit(self, path: str, pattern: str, value: str) -> dict[str, Any]:
        try:
            info = await self._files.stat(path)
            if info.size > LARGEST_EDITED:
                return {"file": path, "success": False, "error": "the file is too large"}
            old = await self._files.read_bytes(path)
            new = old.replace(pattern.encode(), value.encode())
            if new != old:
                await self._files.write(path, new, mode=info.mode)
        except SandboxError as error:
            return {"file": path, "success": False, "error": error.message}
        return {"file": path, "success": True, "error": ""}


def _mode(value: str) -> int:
    try:
        mode = int(value, 8)
    except ValueError:
        raise fault(400, f"{value!r:.20} is not a mode in octal") from None
    if not 0 <= mode <= 0o7777:
        raise fault(400, f"{value!r:.20} is not a mode")
    return mode


def _shown(info: FileInfo) -> dict[str, Any]:
    modified = info.modified_at.astimezone(UTC)
    letters = "".join(
        letter if info.mode & (1 << (8 - place)) else "-"
        for place, letter in enumerate("rwxrwxrwx")
    )
    kind = {"directory": "d", "symlink": "L"}.get(info.type, "-")
    return {
        "name": info.name,
        "path": info.path,
        "isDir": info.is_dir,
        "size": info.size,
        "mode": kind + letters,
        "permissions": f"{info.mode & 0o7777:04o}",
        "owner": info.owner,
        "group": info.group,
        "modTime": modified.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC"),
        "modifiedAt": modified.isoformat().replace("+00:00", "Z"),
    }
