"""``/filesystem/tree`` of a sandbox: many text files at once."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import FileError
from ...models import FileInfo
from ..http import json_answer, json_of
from ..refusal import Refusal
from .files import Files, entry, file_refusal, path_in

__all__ = ["Trees", "Wanted"]

MAX_BODY = 64 << 20
DEPTH = 100
MOST_FILES, MOST_BYTES = 10_000, 32 << 20


class Wanted:
    """Which entries of a tree a query asks for.

    Args:
        query: of the request.
        hidden: whether those whose names begin with a dot are wanted if it does not say.
    """

    def __init__(self, query: Mapping[str, str], *, hidden: bool) -> None:
        self._patterns = [one for one in query.get("patterns", "").split(",") if one]
        self._excluded = {one for one in query.get("excludeDirs", "").split(",") if one}
        self._hidden = query.get("excludeHidden", str(not hidden)).lower() != "true"

    def has(self, info: FileInfo, top: str) -> bool:
        """Whether one is wanted, that is somewhere below `top`."""
        parts = posixpath.relpath(info.path, top).split("/")
        if self._excluded & set(parts[:-1]):
            return False
        if not self._hidden and any(part.startswith(".") for part in parts):
            return False
        named = [fnmatch.fnmatchcase(info.name, pattern) for pattern in self._patterns]
        return any(named) or not named


class Trees:
    """Serves one request to it."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def answer(self, request: Request, rest: str) -> Response:
        """Serve it.

        Raises:
            Refusal: it cannot be.
        """
        path = path_in(rest)
        try:
            match request.method:
                case "GET" if request.query_params.get("recursive") == "true":
                    return json_answer(await self._whole(request, path))
                case "GET":
                    return json_answer(await self._files.listing(path))
                case "PUT":
                    await self._write(request, path)
                    return json_answer(await self._files.listing(path))
                case "DELETE":
                    return await self._files.remove(request, path)
        except FileError as error:
            raise file_refusal(error) from None
        raise Refusal(405, "there is no such method")

    async def _write(self, request: Request, path: str) -> None:
        files = (await json_of(request, MAX_BODY)).get("files")
        if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
            raise Refusal(400, "files are not paths and texts")
        await self._files.files.mkdir(path)
        await self._files.files.write_many(
            {posixpath.join(path, name): content for name, content in files.items()}
        )

    async def _whole(self, request: Request, path: str) -> dict[str, Any]:
        query = request.query_params
        most_files = _number(query, "maxFiles", MOST_FILES)
        most_bytes = _number(query, "maxBytes", MOST_BYTES)
        wanted = Wanted(query, hidden=True)
        top = (await self._files.look(path)).path
        found = await self._files.files.list(top, depth=DEPTH)
        kept = [one for one in found if not one.is_dir and wanted.has(one, top)]
        if len(kept) > most_files or sum(one.size for one in kept) > most_bytes:
            raise Refusal(422, f"more than {most_files} files or {most_bytes} bytes")
        told = [await self._with_content(one, query.get("content") == "true") for one in kept]
        name = posixpath.basename(top) or "/"
        return {"path": top, "name": name, "recursive": True, "files": told, "subdirectories": []}

    async def _with_content(self, info: FileInfo, wanted: bool) -> dict[str, Any]:
        if not wanted or info.type not in ("file", "symlink"):
            return entry(info)
        try:
            target = await self._files.look(info.path)
            if target.type != "file":
                return entry(info)
            content = await self._files.files.read_bytes(target.path, length=MOST_BYTES)
        except FileError:
            return entry(info)  # a link that leads nowhere, or it has gone meanwhile
        return {**entry(info), "content": content.decode("utf-8", "replace")}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise Refusal(400, f"{name} is not a number")
    return min(default, int(text))
