"""``/watch/filesystem`` of a sandbox: what happens in a directory, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import posixpath
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import ASGIApp

from ...errors import FileError, SandboxError
from ...files import AsyncFiles
from ...models import FileEvent
from ...watch import AsyncWatch
from ..http import Stream
from ..refusal import Refusal
from .files import file_refusal, path_in

__all__ = ["watched"]

KEEPALIVE = 30.0
HALF_WRITTEN = ".sandboxkit-"
"""What the names of files begin with that are being written."""
_OPS = {
    "created": "CREATE",
    "modified": "WRITE",
    "attributes": "CHMOD",
    "removed": "REMOVE",
    "renamed": "RENAME",
}


async def watched(files: AsyncFiles, request: Request, rest: str) -> ASGIApp:
    """Serve a watch; of all that is below too if the path ends in ``/**``.

    Raises:
        Refusal: the directory cannot be watched.
    """
    if request.method != "GET":
        raise Refusal(405, "there is no such method")
    path = path_in(rest)
    recursive = path.endswith("/**")
    ignored = [one for one in request.query_params.get("ignore", "").split(",") if one]
    try:
        watch = await files.watch(path.removesuffix("/**") or "/", recursive=recursive)
    except FileError as error:
        raise file_refusal(error) from None
    return Stream(_told(watch, ignored), "text/event-stream")


async def _told(watch: AsyncWatch, ignored: list[str]) -> AsyncIterator[bytes]:
    nearest: asyncio.Future[FileEvent | None] | None = None
    try:
        yield b"[keepalive]\n"  # it watches now
        while True:
            nearest = nearest or asyncio.ensure_future(watch.next())
            done, _ = await asyncio.wait({nearest}, timeout=KEEPALIVE)
            if not done:
                yield b"[keepalive]\n"
                continue
            try:
                event, nearest = nearest.result(), None
            except SandboxError:
                return  # it ended with its sandbox
            if event is None:
                return
            for op, path in _events(event):
                if not any(one in path for one in ignored):
                    yield _line(op, path)
    finally:
        if nearest is not None:
            nearest.cancel()
            await asyncio.wait({nearest})
        with contextlib.suppress(SandboxError):
            await watch.close()


def _events(event: FileEvent) -> list[tuple[str, str]]:
    """An event in the wire's words, which has no word for lost events."""
    if event.kind not in _OPS:
        return []
    if posixpath.basename(event.path).startswith(HALF_WRITTEN):
        # A file is written beside its place and renamed to it, which no client here expects.
        if event.kind != "renamed" or event.target is None:
            return []
        return [("CREATE", event.target), ("WRITE", event.target)]
    told = [(_OPS[event.kind], event.path)]
    if event.kind == "renamed" and event.target is not None:
        told.append(("CREATE", event.target))
    return told


def _line(op: str, path: str) -> bytes:
    place, name = posixpath.split(path)
    return json.dumps({"op": op, "path": place, "name": name, "content": None}).encode() + b"\n"
