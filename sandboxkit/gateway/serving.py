"""``sandboxkit serve``: a gateway in the foreground, with a program that uses it or without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import InvalidRequestError
from .server import Server, listen, raise_descriptors
from .settings import Settings
from .wire import PLACEHOLDER, Wire

__all__ = ["run_gateway"]

GRACE = 3.0
"""Seconds that the program is given to end when it is asked to."""

Announce = Callable[[Settings, str, Mapping[str, str]], None]


def run_gateway(
    wire: Wire,
    settings: Settings,
    host: str,
    port: int,
    key: str | None,
    program: Sequence[str],
    *,
    announce: Announce,
) -> int:
    """Serve until SIGINT or SIGTERM, or until the program ends; the status to exit with.

    Raises:
        InvalidRequestError: it is not possible to listen there, or to start the program.
        SandboxError: the profile's provider cannot be used, or the state cannot be kept.
    """
    raise_descriptors()
    with listen(host, port) as listener:
        address = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        where = f"[{address}]" if ":" in address else address
        number = listener.getsockname()[1]
        url = f"http://{where}:{number}"
        settings = replace(settings, domain=settings.domain or f"localhost:{number}")
        variables = wire.variables(url, settings.domain, PLACEHOLDER if key is None else key)
        status, ended_by = asyncio.run(
            _serve(
                wire,
                settings,
                listener,
                variables,
                program,
                lambda: announce(settings, url, variables),
            )
        )
    if ended_by is not None:
        signal.raise_signal(ended_by)  # now that all is over: to whoever handles it here
    return status


async def _serve(
    wire: Wire,
    settings: Settings,
    listener: socket.socket,
    variables: Mapping[str, str],
    program: Sequence[str],
    ready: Callable[[], None],
) -> tuple[int, int | None]:
    started = asyncio.Event()

    def begun() -> None:
        if not program:
            ready()
        started.set()

    running = Server(wire.application(settings, begun))
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    status = 0
    try:
        if program and started.is_set():
            status = await _run(program, variables, serving)
    finally:
        running.should_exit = running.should_exit or bool(program)
        await serving
    if running.failure is not None:
        raise running.failure
    return status, running.ended_by


async def _run(
    program: Sequence[str], variables: Mapping[str, str], serving: asyncio.Task[None]
) -> int:
    try:
        child = await asyncio.create_subprocess_exec(*program, env={**os.environ, **variables})
    except OSError as error:
        raise InvalidRequestError(f"serve: {program[0]} cannot be started: {error}") from error
    ending = asyncio.create_task(child.wait())
    try:
        await asyncio.wait({ending, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        await _end(child)
    status = await child.wait()
    return 128 - status if status < 0 else status


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a program: ask it, and when it does not listen, do not ask."""
    if child.returncode is not None:
        return
    child.terminate()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
    await child.wait()
