"""What the wires need of HTTP beyond the framework: bounded bodies, and streams that end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .refusal import Refusal

__all__ = [
    "MAX_JSON",
    "Last",
    "Stream",
    "chunks_of",
    "json_answer",
    "json_of",
    "parse_object",
    "while_there",
    "whole_body",
]

MAX_JSON = 1 << 20
"""Bytes of a JSON body of the control plane."""

IDLE = 60.0
"""Seconds for which a client may send nothing in the middle of a body."""

WHOLE = 120.0
"""Seconds that a client may take for a body that is read as a whole."""


async def chunks_of(
    receive: Receive, limit: int | None = None, idle: float | None = IDLE
) -> AsyncGenerator[bytes]:
    """A request's body as it comes.

    Args:
        receive: where it comes from.
        limit: bytes that it may have.
        idle: seconds for which nothing may come; ``None`` is for ever.

    Raises:
        Refusal: it is larger than `limit` bytes, cut off, or stalls.
    """
    total = 0
    while True:
        try:
            async with asyncio.timeout(idle):
                message = await receive()
        except TimeoutError:
            raise Refusal(408, "the request's body does not come") from None
        if message["type"] != "http.request":
            raise Refusal(400, "the request was cut off")
        chunk: bytes = message.get("body", b"")
        total += len(chunk)
        if limit is not None and total > limit:
            raise Refusal(413, f"the request's body is larger than {limit} bytes")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def whole_body(receive: Receive, limit: int) -> bytes:
    """A request's whole body.

    Raises:
        Refusal: it is larger than `limit` bytes, cut off, or stalls.
    """
    try:
        async with asyncio.timeout(WHOLE):
            return b"".join([chunk async for chunk in chunks_of(receive, limit)])
    except TimeoutError:
        raise Refusal(408, "the request's body comes too slowly") from None


async def json_of(request: Request, limit: int = MAX_JSON) -> dict[str, Any]:
    """A request's JSON object; an empty body is an empty one.

    Raises:
        Refusal: it is none, or too large.
    """
    body = await whole_body(request.receive, limit)
    return parse_object(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object; nothing at all is an empty one.

    Raises:
        Refusal: it is none.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the request's body is not JSON") from None
    if not isinstance(value, dict):
        raise Refusal(400, "the request's body is not a JSON object")
    return value


def json_answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON."""
    return Response(
        json.dumps(value, separators=(",", ":")),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


class Last(bytes):
    """The last part of a stream, which is sent together with its end: one write less."""


class Stream:
    """An answer that is written as it is made. Its maker is cancelled when the client goes away.

    Args:
        parts: what to write; closed in every case.
        media_type: of the answer.
    """

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        media_type: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> None:
        self._parts = parts
        self._status = status
        self._headers = [
            (b"content-type", media_type.encode()),
            *((key.lower().encode(), value.encode()) for key, value in (headers or {}).items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write it."""
        try:
            async with while_there(receive):
                await self._write(send)
        finally:
            close = getattr(self._parts, "aclose", None)
            if close is not None:
                await close()

    async def _write(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        async for part in self._parts:
            more = not isinstance(part, Last)
            await send({"type": "http.response.body", "body": part, "more_body": more})
            if not more:
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextlib.asynccontextmanager
async def while_there(receive: Receive) -> AsyncIterator[None]:
    """Cancel what is done here when the client goes away, and go on after it."""
    here = asyncio.current_task()
    assert here is not None
    cancelled = False

    def stop(_: asyncio.Task[None]) -> None:
        nonlocal cancelled
        cancelled = here.cancel()

    leaving = asyncio.create_task(_left(receive))
    leaving.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        # Somebody else may have cancelled it too.
        if not cancelled or here.uncancel() > 0:
            raise
    finally:
        leaving.remove_done_callback(stop)
        leaving.cancel()


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        continue
