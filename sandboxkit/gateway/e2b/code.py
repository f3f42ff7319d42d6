"""The code interpreter: cells of code, told line by line, and their contexts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp

from ...errors import (
    CodeTimeoutError,
    NotFoundError,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
)
from ...models import CodeError, ContextInfo, Execution, OutputText, Result
from ...results import FORMATS
from ...sandbox import AsyncSandbox
from ..http import Last, Stream, json_answer, json_of
from ..refusal import Refusal, refusal_of

__all__ = ["CodeInterpreter"]

SILENCE = 5.0
"""Seconds after which a client is told that the cell still runs."""

_LANGUAGES = {"js": "javascript", "ts": "typescript"}
MAX_CODE = 32 << 20
"""Bytes of a request with code."""


class CodeInterpreter:
    """One client's request.

    Args:
        sandbox: where the code runs.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox

    async def answer(self, request: Request) -> ASGIApp:
        """Serve it.

        Raises:
            Refusal: it cannot be.
        """
        place = [part for part in request.scope["path"].split("/") if part]
        match request.method, place:
            case "GET", ["health"]:
                return json_answer("OK")
            case "POST", ["execute"]:
                return await self._execute(await json_of(request, MAX_CODE))
            case "GET", ["contexts"]:
                return json_answer([_shown(one) for one in await self._sandbox.contexts.list()])
            case "POST", ["contexts"]:
                return await self._create(await json_of(request))
            case "DELETE", ["contexts", identifier]:
                await self._known(self._sandbox.contexts.remove(identifier), identifier)
                return json_answer(None)
            case "POST", ["contexts", identifier, "restart"]:
                await self._known(self._sandbox.contexts.restart(identifier), identifier)
                return json_answer(None)
        raise Refusal(404, "the code interpreter has no such route")

    async def _create(self, body: dict[str, Any]) -> ASGIApp:
        language = _language(body.get("language"))
        cwd = _text(body, "cwd")
        made = await self._sandbox.contexts.create(language, cwd=cwd or None)
        return json_answer(_shown(made))

    async def _known(self, doing: Any, identifier: str) -> None:
        try:
            await doing
        except (SandboxNotFoundError, SandboxPausedError):
            raise
        except NotFoundError:
            raise Refusal(404, f"Context {identifier} not found") from None

    async def _execute(self, body: dict[str, Any]) -> ASGIApp:
        code, context = _text(body, "code"), _text(body, "context_id")
        if code is None:
            raise Refusal(400, "the body has no code")
        if context and body.get("language"):
            raise Refusal(400, "Only one of context_id or language can be provided")
        envs = body.get("env_vars") or {}
        if not isinstance(envs, dict) or not all(isinstance(one, str) for one in envs.values()):
            raise Refusal(400, "env_vars are not names and texts")
        events = self._sandbox.stream_code(
            code, language=_language(body.get("language")), context=context or None, env=envs
        )
        # A context or a language that is not there is told before the answer begins.
        first = asyncio.ensure_future(anext(events, None))
        try:
            await asyncio.wait({first}, timeout=0.05)
            if first.done():
                first.result()
        except (SandboxNotFoundError, SandboxPausedError):
            raise
        except NotFoundError:
            raise Refusal(404, f"Context {context} not found") from None
        except BaseException:
            first.cancel()
            raise
        return Stream(_lines(first, events), "application/x-ndjson")


async def _lines(first: asyncio.Future[Any], events: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    nearest = first
    async with aclosing(events):  # type: ignore[type-var]
        try:
            while True:
                done, _ = await asyncio.wait({nearest}, timeout=SILENCE)
                if not done:
                    yield _line("keepalive")
                    continue
                event = nearest.result()
                if event is None:
                    break
                for line in _told(event):
                    yield line
                nearest = asyncio.ensure_future(anext(events, None))
        except CodeTimeoutError as late:
            yield _line("error", name="TimeoutError", value=late.message, traceback="")
        except SandboxError as lost:
            refusal = refusal_of(lost)
            yield _line("error", name="SandboxError", value=refusal.message, traceback="")
        finally:
            nearest.cancel()
            await asyncio.wait({nearest})
    yield Last(_line("end_of_execution"))


def _told(event: OutputText | Result | CodeError | Execution) -> list[bytes]:
    if isinstance(event, OutputText):
        now = datetime.now(UTC).isoformat()
        return [_line(event.stream, text=event.text, timestamp=now)]
    if isinstance(event, Result):
        return [_line("result", **_forms(event))]
    if isinstance(event, CodeError):
        return [_line("error", name=event.name, value=event.value, traceback=event.traceback)]
    lines = []
    if event.context_restarted and event.error is None:
        lines.append(
            _line("error", name="ContextRestarting", value="Context was restarted", traceback="")
        )
    return [*lines, _line("number_of_executions", execution_count=event.execution_count)]


def _forms(result: Result) -> dict[str, Any]:
    forms: dict[str, Any] = {"is_main_result": result.is_main_result}
    for name in FORMATS:
        value = getattr(result, name)
        if value is not None:
            forms[name] = value
    if isinstance(text := forms.get("text"), str):
        forms["text"] = _unquoted(text)
    if result.extra:
        forms["extra"] = result.extra
    return forms


def _unquoted(text: str) -> str:
    """A string's text without the quotes around it, as this wire has it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _line(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, **more}).encode() + b"\n"


def _shown(context: ContextInfo) -> dict[str, str]:
    return {"id": context.id, "language": context.language, "cwd": context.cwd}


def _language(given: Any) -> str:
    if given is None:
        return "python"
    if not isinstance(given, str):
        raise Refusal(400, "language is not text")
    return _LANGUAGES.get(given.lower(), given.lower())


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, f"{name} is not text")
    return value
