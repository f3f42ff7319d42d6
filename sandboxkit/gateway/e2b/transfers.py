"""``/files``: a file's content, down and up."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import PurePosixPath
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import FileError, PathIsDirectoryError, PathNotFoundError, SandboxError
from ...models import FileInfo, SandboxInfo
from ...sandbox import AsyncSandbox
from ..http import Stream, chunks_of
from ..refusal import Refusal, refusal_of
from .connect import ConnectError
from .entries import resolved
from .filesystem import path_in

__all__ = ["Transfers"]

MAX_FILES = 1000
"""Files in one upload."""
PIECE = 256 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Transfers:
    """One client's transfer.

    Args:
        sandbox: from or to which.
        info: what is known of it.
        max_upload: bytes of one upload, once it is unpacked.
    """

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo, max_upload: int) -> None:
        self._files = sandbox.files
        self._info = info
        self._max = max_upload

    async def answer(self, request: Request) -> ASGIApp:
        """Serve it.

        Raises:
            Refusal: it cannot be.
        """
        user = request.query_params.get("username") or None
        try:
            if request.method in ("GET", "HEAD"):
                return await self._download(request, user)
            return await self._upload(request, user)
        except ConnectError as error:
            raise Refusal(400, error.message) from None
        except SandboxError as error:
            raise file_refusal(error) from None

    # -- down ---------------------------------------------------------------------------------

    async def _download(self, request: Request, user: str | None) -> ASGIApp:
        path = path_in(self._info, user, request.query_params.get("path", ""))
        wanted = request.headers.get("range")
        if request.method == "GET" and wanted is None:
            small = await self._small(path, user)
            if small is not None:
                return Response(small, 200, _headers(path), OCTETS)
        found = await self._regular(path, user)
        offset, length, more = _part(wanted, found.size)
        status, headers = 200 if more is None else 206, _known(found) | (more or {})
        if request.method == "HEAD":
            headers["Content-Length"] = str(length)
            return Response(None, status, headers, OCTETS)
        span = length if length or wanted else None  # as of /proc's, whose sizes nobody knows
        if span is not None:
            headers["Content-Length"] = str(length)
        pieces = self._files.read_stream(found.path, offset=offset, length=span, user=user)
        first = await anext(pieces, b"")  # what cannot be read is told before the answer begins
        return Stream(_after(first, pieces), OCTETS, headers, status)

    async def _small(self, path: str, user: str | None) -> bytes | None:
        """A file that comes in one piece, whose size need not be asked for; else ``None``."""
        async with contextlib.aclosing(self._files.read_stream(path, user=user)) as pieces:
            first = await anext(pieces, b"")
            return None if await anext(pieces, b"") else first

    async def _regular(self, path: str, user: str | None) -> FileInfo:
        """What is known of a file that can be downloaded."""

        async def look(place: str) -> FileInfo:
            return await self._files.stat(place, user=user)

        found = await resolved(await look(path), look)
        if found is None:
            raise PathNotFoundError(f"path '{path}' does not exist", path=path)
        if found.is_dir:
            raise PathIsDirectoryError(f"path '{path}' is a directory", path=path)
        if found.type != "file":
            raise Refusal(400, f"path '{path}' is not a regular file")
        return found

    # -- up -----------------------------------------------------------------------------------

    async def _upload(self, request: Request, user: str | None) -> Response:
        if any(name.startswith("x-metadata-") for name in request.headers):
            raise Refusal(501, "metadata of files is not served by this gateway")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/octet-stream":
            path = request.query_params.get("path")
            if not path:
                raise Refusal(400, "the query has no path")
            place = path_in(self._info, user, path)
            await self._files.write(place, self._content(request), user=user)
            written = [place]
        elif kind == "multipart/form-data":
            written = await self._multipart(request, user)
        else:
            raise Refusal(400, "an upload is multipart/form-data or application/octet-stream")
        told = [
            {"name": PurePosixPath(path).name, "path": path, "type": "file"} for path in written
        ]
        return Response(json.dumps(told), media_type="text/plain")

    def _content(self, request: Request) -> AsyncGenerator[bytes]:
        chunks = chunks_of(request.receive, self._max)
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding == "gzip":
            return _unpacked(chunks, self._max)
        if encoding not in ("identity", ""):
            raise Refusal(415, f"the encoding {encoding!r:.40} is not served")
        return chunks

    async def _multipart(self, request: Request, user: str | None) -> list[str]:
        only = request.query_params.get("path")
        try:
            parser = MultiPartParser(
                request.headers, self._content(request), max_files=MAX_FILES, max_fields=10
            )
            form = await parser.parse()
        except MultiPartException as error:
            raise Refusal(400, f"the multipart body is malformed: {error.message}") from None
        try:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if not parts or (only and len(parts) > 1):
                raise Refusal(400, "an upload with a path has exactly one part named file")
            places = [path_in(self._info, user, only or part.filename or "") for part in parts]
            for place, part in zip(places, parts, strict=True):
                await self._files.write(place, _pieces(part), user=user)
            return places
        finally:
            await form.close()


OCTETS = "application/octet-stream"


def file_refusal(error: SandboxError) -> Refusal:
    """The answer that a file error becomes."""
    if isinstance(error, FileError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(507, f"not enough disk space available: {error.message}")
    if isinstance(error, PathNotFoundError):
        return Refusal(404, f"path '{error.path}' does not exist")
    if isinstance(error, PathIsDirectoryError):
        return Refusal(400, f"path '{error.path}' is a directory")
    return refusal_of(error)


def _part(text: str | None, size: int) -> tuple[int, int, dict[str, str] | None]:
    """The offset and length that a Range header asks for, and the headers of a partial answer."""
    found = None if text is None else _RANGE.fullmatch(text.strip())
    if found is None or found.group(0) == "bytes=-":
        return 0, size, None
    if not found[1]:
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first = int(found[1])
        last = min(int(found[2]), size - 1) if found[2] else size - 1
    if first > last:
        raise Refusal(
            416, "the range is not in the file", headers={"Content-Range": f"bytes */{size}"}
        )
    return first, last - first + 1, {"Content-Range": f"bytes {first}-{last}/{size}"}


def _headers(path: str) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
        "X-Content-Type-Options": "nosniff",
    }


def _known(found: FileInfo) -> dict[str, str]:
    modified = found.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return {**_headers(found.path), "Last-Modified": modified}


async def _after(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    # A file that shrinks meanwhile ends the answer early, which its length then tells.
    async with contextlib.aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _pieces(part: UploadFile) -> AsyncIterator[bytes]:
    while piece := await part.read(PIECE):
        yield piece


async def _unpacked(chunks: AsyncIterator[bytes], limit: int) -> AsyncGenerator[bytes]:
    """What is packed with gzip, in small pieces however much it is.

    Raises:
        Refusal: it is more than `limit` bytes, cut off, or not gzip.
    """
    unpacker = zlib.decompressobj(31)
    total = 0
    try:
        async for chunk in chunks:
            while chunk:
                if unpacker.eof:  # another member: its file is the files of all, one after another
                    unpacker = zlib.decompressobj(31)
                piece = unpacker.decompress(chunk, PIECE)
                chunk = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                total += len(piece)
                if total > limit:
                    raise Refusal(413, f"the file is larger than {limit} bytes")
                yield piece
            while not unpacker.eof and (piece := unpacker.decompress(b"", PIECE)):
                total += len(piece)
                yield piece
    except zlib.error:
        raise Refusal(400, "the body is not gzip") from None
    if not unpacker.eof:
        raise Refusal(400, "the gzip body is cut off")
