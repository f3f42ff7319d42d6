"""``/filesystem`` of a sandbox: a path's content, or what is in it, down and up."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import AsyncIterator, Iterable
from datetime import UTC
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import FileError, PathIsDirectoryError, PathNotFoundError, SandboxError
from ...files import AsyncFiles
from ...models import FileInfo
from ..http import Stream, chunks_of, json_answer, json_of
from ..refusal import Refusal, refusal_of
from .uploads import Uploads, pieces

__all__ = ["Files", "entry", "listed", "path_in"]

MAX_TEXT = 64 << 20
"""Bytes of a file that is told as text in JSON."""
OCTETS = "application/octet-stream"
LINKS = 40


def path_in(text: str) -> str:
    """The path that a part of a URL names; relative ones begin where the sandbox does.

    Raises:
        Refusal: it is none.
    """
    path = unquote(text)
    if "\0" in path:
        raise Refusal(400, "a NUL byte cannot be in a path")
    return path or "."


def entry(info: FileInfo) -> dict[str, Any]:
    """A file, as the wire has it."""
    moment = info.modified_at.astimezone(UTC).isoformat(timespec="seconds")
    return {
        "path": info.path,
        "name": info.name,
        "size": info.size,
        "permissions": f"{info.mode:04o}",
        "owner": info.owner,
        "group": info.group,
        "lastModified": moment.replace("+00:00", "Z"),
    }


def listed(path: str, found: Iterable[FileInfo]) -> dict[str, Any]:
    """A directory, as the wire has it."""
    there = [*found]
    return {
        "path": path,
        "name": posixpath.basename(path.rstrip("/")) or "/",
        "files": [entry(one) for one in there if not one.is_dir],
        "subdirectories": [{"path": one.path, "name": one.name} for one in there if one.is_dir],
    }


def file_refusal(error: SandboxError) -> Refusal:
    """The answer that a file error becomes."""
    if isinstance(error, PathNotFoundError):
        return Refusal(404, f"file or directory not found: {error.path}")
    if isinstance(error, PathIsDirectoryError):
        return Refusal(400, f"is a directory: {error.path}")
    return refusal_of(error)


class Files:
    """Serves one request to it.

    Args:
        files: of the sandbox.
        uploads: to it, in parts.
        max_upload: bytes of one upload.
    """

    def __init__(self, files: AsyncFiles, uploads: Uploads, max_upload: int) -> None:
        self.files = files
        self._uploads = uploads
        self._max = max_upload

    async def answer(self, request: Request, rest: str) -> ASGIApp:
        """Serve a request for a path.

        Raises:
            Refusal: it cannot be.
        """
        path = path_in(rest)
        try:
            match request.method:
                case "GET":
                    return await self._get(request, path)
                case "HEAD":
                    return Response(headers=await self._head(path))
                case "PUT":
                    return await self._put(request, path)
                case "DELETE":
                    return await self.remove(request, path)
        except FileError as error:
            raise file_refusal(error) from None
        raise Refusal(405, "there is no such method")

    async def look(self, path: str) -> FileInfo:
        """What is at a path; links are followed."""
        info = await self.files.stat(path)
        for _ in range(LINKS):
            if info.type != "symlink" or info.target is None:
                break
            info = await self.files.stat(posixpath.join(posixpath.dirname(info.path), info.target))
        return info

    async def listing(self, path: str) -> dict[str, Any]:
        """What is in a directory."""
        info = await self.look(path)
        return listed(info.path, await self.files.list(info.path))

    # -- down ---------------------------------------------------------------------------------

    async def _head(self, path: str) -> dict[str, str]:
        info = await self.look(path)
        return {"content-length": str(info.size), "content-type": OCTETS}

    async def _get(self, request: Request, path: str) -> ASGIApp:
        info = await self.look(path)
        if info.is_dir:
            return json_answer(await self.listing(path))
        if OCTETS in request.headers.get("accept", ""):
            stream = self.files.read_stream(info.path)
            begun = await anext(stream, b"")  # what cannot be read is told before it begins
            return Stream(_after(begun, stream), OCTETS)
        if info.size > MAX_TEXT:
            raise Refusal(413, "the file is too large to be told as text")
        content = (await self.files.read_bytes(info.path)).decode("utf-8", "replace")
        return json_answer({**entry(info), "content": content})

    # -- up -----------------------------------------------------------------------------------

    async def _put(self, request: Request, path: str) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            form = await self._form(request)
            try:
                part = form.get("file")
                if not isinstance(part, UploadFile):
                    raise Refusal(400, "the form has no file")
                mode = mode_of(form.get("permissions"), 0o644)
                await self.files.write(path, pieces(part), mode=mode)
            finally:
                await form.close()
            return _done("Binary file uploaded successfully", path)
        body = await json_of(request, self._max)
        if body.get("isDirectory") is True:
            await self.files.mkdir(path, mode=mode_of(body.get("permissions"), 0o755) or 0o755)
            return _done("Directory created successfully", path)
        content = body.get("content", "")
        if not isinstance(content, str):
            raise Refusal(400, "content is not text")
        await self.files.write(path, content, mode=mode_of(body.get("permissions"), None))
        return _done("File created successfully", path)

    async def _form(self, request: Request) -> Any:
        try:
            chunks = chunks_of(request.receive, self._max)
            return await MultiPartParser(
                request.headers, chunks, max_files=1, max_fields=10
            ).parse()
        except MultiPartException as error:
            raise Refusal(400, f"the form is malformed: {error.message}") from None

    async def remove(self, request: Request, path: str) -> Response:
        """Remove what is at a path."""
        recursive = request.query_params.get("recursive", "").lower() == "true"
        await self.files.remove(path, recursive=recursive)
        return _done("File or directory deleted successfully", path)

    # -- up, in parts -------------------------------------------------------------------------

    async def in_parts(self, request: Request, rest: str) -> ASGIApp:
        """Serve a request for an upload in parts.

        Raises:
            Refusal: it cannot be.
        """
        try:
            return await self._in_parts(request, rest)
        except FileError as error:
            raise file_refusal(error) from None

    async def _in_parts(self, request: Request, rest: str) -> ASGIApp:
        if request.method == "POST" and rest.startswith("initiate/"):
            path = path_in(rest.removeprefix("initiate/"))
            body = await json_of(request)
            mode = mode_of(body.get("permissions"), 0o644) or 0o644
            return json_answer({"uploadId": self._uploads.begin(path, mode), "path": path})
        match request.method, rest.split("/"):
            case "GET", [""]:
                told = [{"uploadId": name, "path": one.path} for name, one in self._uploads.items()]
                return json_answer({"uploads": told})
            case "PUT", [identifier, "part"]:
                return await self._part(request, identifier)
            case "GET", [identifier, "parts"]:
                parts = self._uploads.find(identifier).parts
                shown = [{"partNumber": n, "size": one.size} for n, one in sorted(parts.items())]
                return json_answer({"uploadId": identifier, "parts": shown})
            case "POST", [identifier, "complete"]:
                return await self._complete(request, identifier)
            case "DELETE", [identifier, "abort"]:
                self._uploads.find(identifier)
                await self._uploads.end(identifier)
                return json_answer({"message": "Multipart upload aborted successfully"})
        raise Refusal(404, "there is no such route")

    async def _part(self, request: Request, identifier: str) -> Response:
        text = request.query_params.get("partNumber", "")
        if not (text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) > 0):
            raise Refusal(400, "partNumber is not a number")
        self._uploads.find(identifier)
        part = (await self._form(request)).get("file")
        if not isinstance(part, UploadFile):
            raise Refusal(400, "the form has no file")
        digest = hashlib.sha256()
        async for piece in pieces(part):
            digest.update(piece)
        await self._uploads.put(identifier, int(text), part, self._max)
        return json_answer(
            {"partNumber": int(text), "etag": digest.hexdigest()[:32], "size": part.size}
        )

    async def _complete(self, request: Request, identifier: str) -> Response:
        upload = self._uploads.find(identifier)
        listed_parts = (await json_of(request)).get("parts") or []
        numbers = sorted(
            number
            for one in listed_parts
            if isinstance(one, dict) and isinstance(number := one.get("partNumber"), int)
        )
        if not numbers or any(number not in upload.parts for number in numbers):
            raise Refusal(400, "a part is missing")
        await self.files.write(upload.path, upload.content(numbers), mode=upload.mode)
        await self._uploads.end(identifier)
        return _done("Multipart upload completed successfully", upload.path)


def mode_of(text: object, default: int | None) -> int | None:
    """Permission bits from text such as ``0644``.

    Raises:
        Refusal: it is none.
    """
    if text in (None, ""):
        return default
    try:
        mode = int(str(text), 8)
    except ValueError:
        raise Refusal(400, "permissions are not octal, such as 0644") from None
    if not 0 <= mode <= 0o7777:
        raise Refusal(400, "permissions are not octal, such as 0644")
    return mode


def _done(message: str, path: str) -> Response:
    return json_answer({"message": message, "path": path})


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
