"""The contents of files, down and up, many at a time."""

from __future__ import annotations

import json
import posixpath
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import PathIsDirectoryError, SandboxError
from ..http import Stream, chunks_of, json_answer, json_of
from ..refusal import Refusal
from .faults import body_of, fault, fault_of
from .fields import texts
from .machine import Machine

__all__ = ["Transfers"]

MOST_FILES = 1000
"""Files of one request."""
PIECE = 256 << 10
_FIELD = re.compile(r"files\[(\d{1,6})\]\.(path|file)")


class Transfers:
    """One client's transfer.

    Args:
        machine: from or to which.
        max_upload: bytes of one upload.
    """

    def __init__(self, machine: Machine, max_upload: int) -> None:
        self._files = machine.sandbox.files
        self._max = max_upload

    # -- down ---------------------------------------------------------------------------------

    async def download(self, request: Request) -> ASGIApp:
        """One file."""
        path = request.query_params.get("path") or ""
        info = await self._files.stat(path)
        if info.is_dir:
            raise PathIsDirectoryError(f"{path} is a directory", path=path)
        pieces = self._files.read_stream(path)
        first = await anext(pieces, b"")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(info.name)}"}
        if info.type == "file":
            headers["Content-Length"] = str(info.size)
        return Stream(_after(first, pieces), "application/octet-stream", headers)

    async def bulk_download(self, request: Request) -> ASGIApp:
        """Several files, each with its content or why it has none."""
        paths = texts(await json_of(request), "paths")
        if not 0 < len(paths) <= MOST_FILES:
            raise fault(400, f"paths are not from 1 to {MOST_FILES}", "INVALID_REQUEST_BODY")
        boundary = secrets.token_hex(16)
        return Stream(self._parts(paths, boundary), f"multipart/form-data; boundary={boundary}")

    async def _parts(self, paths: Sequence[str], boundary: str) -> AsyncIterator[bytes]:
        for path in paths:
            try:
                info = await self._files.stat(path)
                pieces = self._files.read_stream(path)
                first = await anext(pieces, b"")
            except SandboxError as error:
                told = body_of(fault_of(error), "DAYTONA_DAEMON", "/files/bulk-download")
                yield _head(boundary, "error", path, "application/json")
                yield json.dumps(told).encode() + b"\r\n"
                continue
            length = info.size if info.type == "file" else None
            yield _head(boundary, "file", path, "application/octet-stream", length)
            yield first
            async for piece in pieces:
                yield piece
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    # -- up -----------------------------------------------------------------------------------

    async def bulk_upload(self, request: Request) -> Response:
        """Several files, each to the path that comes with it."""
        form = await self._form(request)
        try:
            written = []
            for path, part in _named(form):
                await self._files.write(path, _pieces(part))
                written.append({"name": posixpath.basename(path), "path": path, "type": "file"})
            return json_answer({"files": written})
        finally:
            await form.close()

    async def upload(self, request: Request) -> Response:
        """One file, to the path that the query names."""
        path = request.query_params.get("path")
        if not path:
            raise fault(400, "path is missing", "INVALID_FILE_PATH")
        form = await self._form(request)
        try:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if len(parts) != 1:
                raise fault(400, "an upload has one part that is a file")
            await self._files.write(path, _pieces(parts[0]))
        finally:
            await form.close()
        return json_answer({"name": posixpath.basename(path), "path": path, "type": "file"})

    async def _form(self, request: Request) -> FormData:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise fault(400, "an upload is multipart/form-data")
        chunks = chunks_of(request.receive, self._max)
        try:
            parser = MultiPartParser(
                request.headers, chunks, max_files=MOST_FILES, max_fields=MOST_FILES
            )
            return await parser.parse()
        except MultiPartException as error:
            raise fault(400, f"the multipart body is malformed: {error.message}") from None


def _named(form: FormData) -> list[tuple[str, UploadFile]]:
    """The files of a form with their paths."""
    paths: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        found = _FIELD.fullmatch(name)
        if found is None:
            continue
        if isinstance(value, UploadFile):
            files[found[1]] = value
        elif found[2] == "path":
            paths[found[1]] = value
    named = []
    for number, part in files.items():
        path = paths.get(number) or part.filename
        if not path or "\0" in path:
            raise fault(400, f"files[{number}] has no path", "INVALID_FILE_PATH")
        named.append((path, part))
    if not named:
        raise Refusal(400, "the upload has no files")
    return named


def _head(boundary: str, name: str, path: str, kind: str, length: int | None = None) -> bytes:
    plain = path.replace("\\", "\\\\").replace('"', '\\"')
    place = f'filename="{plain}"'
    if not path.isascii() or any(ord(letter) < 32 for letter in path):
        place = f"filename*=UTF-8''{quote(path, safe='/')}"
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{name}"; {place}\r\n'
        f"Content-Type: {kind}\r\n{size}\r\n"
    ).encode()


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _pieces(part: UploadFile) -> AsyncIterator[bytes]:
    while piece := await part.read(PIECE):
        yield piece
