"""Searches in a sandbox: for names, and for text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import FileError
from ..http import json_answer
from ..refusal import Refusal
from .files import Files, file_refusal, path_in
from .trees import DEPTH, Wanted

__all__ = ["Searching"]

USUALLY_EXCLUDED = "node_modules,.git,.venv,venv,dist,build,target,__pycache__,vendor"
MOST = 10_000
LARGEST = 1 << 20
"""Bytes of a file that is searched."""


class Searching:
    """Serves one search."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def find(self, request: Request, rest: str) -> Response:
        """Find names.

        Raises:
            Refusal: it cannot be done.
        """
        query = _with_usual(request.query_params)
        most = _count(query, "maxResults", 20) or MOST
        kind = query.get("type")
        top, found = await self._below(path_in(rest))
        wanted = Wanted(query, hidden=False)
        told = [
            {"path": one.path, "type": "directory" if one.is_dir else "file"}
            for one in found
            if wanted.has(one, top) and kind in (None, "directory" if one.is_dir else "file")
        ]
        return json_answer({"matches": told[:most], "total": len(told)})

    async def grep(self, request: Request, rest: str) -> Response:
        """Find text in files.

        Raises:
            Refusal: it cannot be done.
        """
        query = _with_usual(request.query_params)
        text = query.get("query", "")
        if not text:
            raise Refusal(400, "query is required")
        exact = query.get("caseSensitive", "").lower() == "true"
        most = _count(query, "maxResults", 100) or MOST
        around = min(20, _count(query, "contextLines", 0))
        pattern = query.get("filePattern", "")
        wanted = Wanted({**query, "patterns": pattern}, hidden=True)
        top, found = await self._below(path_in(rest))
        matches: list[dict[str, Any]] = []
        for one in found:
            if one.type == "file" and one.size <= LARGEST and wanted.has(one, top):
                matches += await self._in_file(one.path, text, around, exact=exact)
            if len(matches) >= most:
                break
        told = matches[:most]
        return json_answer({"query": text, "matches": told, "total": len(told)})

    async def _below(self, path: str) -> tuple[str, list[Any]]:
        try:
            top = (await self._files.look(path)).path
            return top, (await self._files.files.list(top, depth=DEPTH))[: MOST * 10]
        except FileError as error:
            raise file_refusal(error) from None

    async def _in_file(
        self, path: str, text: str, around: int, *, exact: bool
    ) -> list[dict[str, Any]]:
        try:
            content = await self._files.files.read_bytes(path)
        except FileError:
            return []  # it may not be read, or has gone meanwhile
        if b"\0" in content:
            return []
        lines = content.decode("utf-8", "replace").split("\n")
        sought = text if exact else text.lower()
        found = []
        for number, line in enumerate(lines):
            column = (line if exact else line.lower()).find(sought)
            if column < 0:
                continue
            match = {"path": path, "line": number + 1, "column": column + 1, "text": line}
            if around:
                match["context"] = "\n".join(lines[max(0, number - around) : number + around + 1])
            found.append(match)
        return found


def _with_usual(query: Mapping[str, str]) -> dict[str, str]:
    return {"excludeDirs": USUALLY_EXCLUDED, **query}


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Refusal(400, f"{name} is not a number")
    return int(text)
