"""``/process`` of a sandbox: commands run, followed, fed and ended."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import InvalidRequestError, PathNotDirectoryError, PathNotFoundError
from ..http import Last, Stream, json_answer, json_of, whole_body
from ..refusal import Refusal
from .output import KEPT, Text
from .processes import Order, Process, Processes, new_name

__all__ = ["ProcessApi"]

EDGE = 60.0
"""Seconds of silence after which Blaxel's edge gives up an answer, while the command goes on."""
KEEPALIVE = 15.0
MAX_INPUT = 8 << 20
"""Bytes of input in one request."""
LONGEST_WAIT = 119.0
NDJSON = "application/x-ndjson"


class ProcessApi:
    """Serves one request to it.

    Args:
        processes: of the sandbox.
        vendor: whether to be as weak as Blaxel's own: a silent wait ends after a minute, a kill
            reaches the process alone, a signal is -1.
    """

    def __init__(self, processes: Processes, *, vendor: bool) -> None:
        self._processes = processes
        self._vendor = vendor

    async def answer(self, request: Request, place: list[str]) -> ASGIApp:
        """Serve it.

        Raises:
            Refusal: it cannot be.
        """
        if not place:
            if request.method == "POST":
                return await self._execute(request)
            return json_answer([one.shown() for one in self._processes.all()])
        process = self._processes.find(place[0])
        match request.method, place[1:]:
            case "GET", []:
                return json_answer(process.shown())
            case "DELETE", []:
                return await self._end(process, signal.SIGTERM)
            case "DELETE", ["kill"]:
                return await self._end(process, signal.SIGKILL)
            case "GET", ["wait"]:
                return await self._wait(process, request.query_params.get("timeout", "60"))
            case "GET", ["logs"]:
                return json_answer(_logs(process))
            case "GET", ["logs", "stream"]:
                return Stream(_followed(process), "text/event-stream")
            case "POST", ["stdin"]:
                return await self._write(process, request)
            case "DELETE", ["stdin"]:
                await process.process.close_stdin()
                return json_answer({"message": "stdin closed"})
        raise Refusal(404, "there is no such route")

    # -- running ------------------------------------------------------------------------------

    async def _execute(self, request: Request) -> ASGIApp:
        body = await json_of(request, MAX_INPUT)
        order, waits = _order(body)
        try:
            process = await self._processes.start(order, vendor=self._vendor)
        except (PathNotFoundError, PathNotDirectoryError) as error:
            raise Refusal(400, f"could not start the process: {error.message}") from None
        if not waits:
            return json_answer(process.shown())
        if "text/event-stream" in request.headers.get("accept", ""):
            return Stream(_streamed(process), NDJSON)
        try:
            async with asyncio.timeout(EDGE if self._vendor else None):
                await process.wait()
        except TimeoutError:
            raise Refusal(504, "upstream request timeout") from None
        return json_answer(process.shown())

    async def _wait(self, process: Process, text: str) -> Response:
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            raise Refusal(400, "timeout is not a number of seconds")
        try:
            async with asyncio.timeout(min(LONGEST_WAIT, float(text))):
                await process.wait()
        except TimeoutError:
            pass  # it is told that it runs on
        return json_answer(process.shown())

    async def _end(self, process: Process, how: signal.Signals) -> Response:
        if not process.running:
            raise Refusal(404, "process is not running")
        await process.end(how)
        return json_answer({"message": "Process killed" if how == 9 else "Process stopped"})

    async def _write(self, process: Process, request: Request) -> Response:
        data = await whole_body(request.receive, MAX_INPUT)
        if not process.order.stdin:
            raise Refusal(409, "the process has no open stdin")
        try:
            await process.process.write(data)
        except (OSError, InvalidRequestError) as error:
            raise Refusal(409, f"the process has no open stdin: {error}") from None
        return json_answer({"message": "Data written to stdin"})


def _order(body: Mapping[str, Any]) -> tuple[Order, bool]:
    command = body.get("command")
    if not isinstance(command, str) or not command:
        raise Refusal(400, "command is required")
    for name in ("restartOnFailure", "waitForPorts"):
        if body.get(name):
            raise Refusal(501, f"{name} is not served by this gateway")
    env = body.get("env") or {}
    if not isinstance(env, dict) or not all(isinstance(one, str) for one in env.values()):
        raise Refusal(400, "env is not names and texts")
    called, cwd, timeout = body.get("name"), body.get("workingDir"), body.get("timeout")
    if not all(one is None or isinstance(one, str) for one in (called, cwd)):
        raise Refusal(400, "name and workingDir are texts")
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 0
    ):
        raise Refusal(400, "timeout is not a number of seconds")
    keep_alive = body.get("keepAlive") is True
    if timeout is None and keep_alive:
        timeout = 600
    if any("\0" in text for text in (command, called or "", cwd or "", *env, *env.values())):
        raise Refusal(400, "a NUL byte cannot be in a command")
    order = Order(
        command=command,
        name=called or new_name(),
        cwd=cwd or None,
        env=env,
        timeout=timeout or None,
        stdin=body.get("stdin") is True,
        keep_alive=keep_alive,
    )
    return order, body.get("waitForCompletion") is True


def _logs(process: Process) -> dict[str, str]:
    def text(*streams: Any) -> str:
        return process.output.last(streams, KEPT).decode("utf-8", "replace")

    return {
        "logs": text("stdout", "stderr"),
        "stdout": text("stdout"),
        "stderr": text("stderr"),
    }


async def _streamed(process: Process) -> AsyncIterator[bytes]:
    text = Text()
    async for piece in process.output.follow(KEEPALIVE):
        if piece is None:
            yield _line("keepalive", "")
        elif decoded := text.of(piece):
            yield _line(piece.stream, decoded)
    for name, left in text.rest():
        yield _line(name, left)
    yield Last(_line("result", json.dumps(process.shown())))


def _line(kind: str, data: str) -> bytes:
    return json.dumps({"type": kind, "data": data}).encode() + b"\n"


async def _followed(process: Process) -> AsyncIterator[bytes]:
    """Line by line, each with its stream before it; what has no end of line yet waits for one."""
    text = Text()
    rest = {"stdout": "", "stderr": ""}
    async for piece in process.output.follow(KEEPALIVE):
        if piece is None:
            yield b"[keepalive]\n"
            continue
        *whole, rest[piece.stream] = (rest[piece.stream] + text.of(piece)).split("\n")
        if whole:
            yield "".join(f"{piece.stream}:{line}\n" for line in whole).encode()
    for name, left in text.rest():
        rest[name] += left
    yield Last("".join(f"{name}:{line}\n" for name, line in rest.items() if line).encode())
