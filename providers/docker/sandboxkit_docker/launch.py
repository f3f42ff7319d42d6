"""Starting a container, and what its first process says as it begins."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiodocker.stream import Stream

from sandboxkit.errors import (
    InvalidRequestError,
    ProviderUnavailableError,
    SandboxError,
    UnsupportedError,
)

from .engine import Engine
from .stream_transport import GONE

__all__ = ["GuestMissingError", "Meanwhile", "Orders", "launch"]

Orders = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives what a first process is to do."""

Meanwhile = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Does what a first process waits for, and is given what that has said."""

_STDOUT = 1
_LAST = ("ready", "failed", None)
_LONGEST = 1 << 16


class GuestMissingError(ProviderUnavailableError):
    """The volume with the guest is not what it should be."""


async def launch(
    engine: Engine, container_id: str, orders: Orders, meanwhile: Meanwhile | None = None
) -> None:
    """Start a container, give its first process its orders, and return when it serves.

    Args:
        engine: where.
        container_id: made and not started yet.
        orders: asked for while it starts, which takes longest of all.
        meanwhile: what it may wait for once it has begun.

    Raises:
        InvalidRequestError: the orders cannot be carried out.
        UnsupportedError: the engine's machine cannot do that.
        GuestMissingError: the guest could not even be begun.
        SandboxError: the engine could not start it.
    """
    with engine.translated("create"):
        async with engine.attach(container_id) as stream:
            await _both(_start(engine, container_id), _tell(stream, orders))
            answer, errors = await _answer(stream)
            if meanwhile is not None and answer.get("event") not in _LAST:
                await meanwhile(answer)
                await _say(stream, {"event": "done"})
                answer, errors = await _answer(stream)
    if answer.get("event") == "ready":
        return
    if answer.get("event") == "failed":
        if answer.get("capability"):
            raise UnsupportedError(str(answer.get("message")), capability=answer["capability"])
        raise InvalidRequestError(str(answer.get("message")))
    raise ProviderUnavailableError(
        f"the guest ended before it served: {errors.strip()[-500:] or 'it said nothing'}",
        hint="sandboxkit doctor docker",
    )


async def _start(engine: Engine, container_id: str) -> None:
    try:
        await engine.call("create", engine.container(container_id).start())
    except SandboxError as error:
        raise _explained(error) from error


async def _tell(stream: Stream, orders: Orders) -> None:
    await _say(stream, await orders())


async def _say(stream: Stream, message: Mapping[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    with contextlib.suppress(*GONE):  # it never began, or says what is wrong as its answer
        await stream.write_in(line)


async def _both(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at the same time; of several that fail the first one tells why."""
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if failure is not None:
            raise failure


async def _answer(stream: Stream) -> tuple[dict[str, Any], str]:
    """The first line of standard output as an object, or what there was on standard error."""
    line, errors = b"", b""
    while b"\n" not in line and len(line) < _LONGEST:
        message = await stream.read_out()
        if message is None:
            return {}, errors.decode("utf-8", "replace")
        if message.stream == _STDOUT:
            line += message.data
        else:
            errors = (errors + message.data)[-_LONGEST:]
    try:
        found = json.loads(line)
    except ValueError:
        return {}, line.decode("utf-8", "replace")
    return (found if isinstance(found, dict) else {}), errors.decode("utf-8", "replace")


def _explained(error: SandboxError) -> SandboxError:
    # Its program is on our volume: whatever is wrong with the image, it is never that.
    if "no such file or directory" in error.message and "/lib/ld" in error.message:
        return GuestMissingError(error.message, outcome="not_started")
    return error
