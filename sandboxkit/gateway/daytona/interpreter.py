"""The code interpreter: contexts that keep their state, Python alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

from ...errors import CodeTimeoutError, NotFoundError, SandboxError, SandboxNotFoundError
from ...models import CodeError, ContextInfo
from ...results import OutputText
from ..refusal import Refusal
from .faults import fault
from .fields import number, pairs, text, whole
from .machine import Machine
from .sockets import BROKEN, Socket

__all__ = ["Interpreter"]

DEADLINE = 600
"""Seconds for code whose caller names none."""
LATE = 4008
"""How the end of a WebSocket says that the time was up."""


class Interpreter:
    """One client's calls.

    Args:
        machine: where.
    """

    def __init__(self, machine: Machine) -> None:
        self._sandbox = machine.sandbox

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a context."""
        language = text(body, "language") or "python"
        if language != "python":
            raise fault(400, "contexts run python alone")
        return _shown(await self._sandbox.contexts.create("python", cwd=text(body, "cwd") or None))

    async def list(self) -> dict[str, Any]:
        """The contexts that are there."""
        found = await self._sandbox.contexts.list()
        return {"contexts": [_shown(one) for one in found if one.language == "python"]}

    async def remove(self, identifier: str) -> dict[str, Any]:
        """End a context."""
        try:
            await self._sandbox.contexts.remove(identifier)
        except SandboxNotFoundError:
            raise
        except NotFoundError:
            raise fault(404, f"Context {identifier} not found") from None
        return {"message": "Context deleted successfully"}

    async def serve(self, socket: Socket) -> None:
        """Run what the client sends first, and tell what happens."""
        await socket.accept()
        message = await socket.message()
        try:
            given = json.loads(message or "")
            if not isinstance(given, dict):
                raise fault(400, "the request is not an object")
            await self._attended(socket, given)
        except ValueError:
            await socket.close(BROKEN, "the request is not JSON")
        except Refusal as refusal:
            await socket.close(BROKEN, refusal.message)
        except CodeTimeoutError:
            await socket.close(LATE, "execution timed out")
        except SandboxError as error:
            await socket.close(BROKEN, error.message)
        else:
            await socket.close()

    async def _attended(self, socket: Socket, given: dict[str, Any]) -> None:
        """Run it for as long as the client listens: nobody would hear of it after that."""
        running = asyncio.create_task(self._execute(socket, given))
        leaving = asyncio.create_task(socket.left())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            for task in (running, leaving):
                task.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)

    async def _execute(self, socket: Socket, given: dict[str, Any]) -> None:
        events = self._sandbox.stream_code(
            whole(given, "code"),
            context=text(given, "contextId") or None,
            env=pairs(given, "envs"),
            timeout=number(given, "timeout") or DEADLINE,
        )
        async with contextlib.aclosing(events):  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, OutputText):
                    await socket.send(json.dumps({"type": event.stream, "text": event.text}))
                elif isinstance(event, CodeError):
                    told = {"name": event.name, "value": event.value, "traceback": event.traceback}
                    await socket.send(json.dumps({"type": "error", **told}))
        await socket.send(json.dumps({"type": "control", "text": "completed"}))


def _shown(context: ContextInfo) -> dict[str, Any]:
    return {
        "id": context.id,
        "language": context.language,
        "cwd": context.cwd,
        "createdAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "active": True,
    }
