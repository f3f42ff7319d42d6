"""Code in the template's own code interpreter: Jupyter kernels behind E2B's server."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Callable
from typing import Any

from e2b_code_interpreter import AsyncSandbox, Context

from sandboxkit.errors import ExecLostError, SandboxError, UnsupportedError
from sandboxkit.models import CodeError, ContextInfo, Result
from sandboxkit.provider import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    CodeStream,
    CreateContextRequest,
    RunCodeRequest,
)
from sandboxkit.results import FORMATS

from .account import Account

__all__ = ["PREFIX", "Interpreter", "is_native"]

PREFIX = "e2b-"
"""How the ids of contexts begin that are E2B's and not the guest's."""

AHEAD = 64
"""Events that may wait; then the SDK reads no further."""

_DEFAULT = "/home/user/."
"""Where the context of a language runs that is used if none is named, so written only by us."""

_RESTARTING = "ContextRestarting"


def is_native(context: str) -> bool:
    """Whether a context is E2B's."""
    return context.startswith(PREFIX)


class Interpreter:
    """The code interpreter of one sandbox.

    Args:
        account: whose.
        machine: the sandbox.
    """

    def __init__(self, account: Account, machine: AsyncSandbox) -> None:
        self._account = account
        self._machine = machine

    async def run(self, request: RunCodeRequest) -> CodeStream:
        """Run a cell; its deadline is kept here, since E2B's is twice what is asked for."""
        context = request.context or (await self._default(request.language)).id
        return NativeCode(self._account, self._machine, self, request, context)

    async def create(self, request: CreateContextRequest) -> ContextInfo:
        """Make a context.

        Raises:
            UnsupportedError: it wants variables or a user of its own.
        """
        if request.env or request.user is not None:
            raise UnsupportedError(
                f"a context for {request.language} has neither env nor user of its own on E2B",
                capability="code",
                provider="e2b",
            )
        making = self._machine.create_code_context(cwd=request.cwd, language=request.language)
        return _context(await self._account.call("contexts.create", making))

    async def list(self) -> list[ContextInfo]:
        """The contexts that are there."""
        listing = self._machine.list_code_contexts()
        return [_context(one) for one in await self._account.call("contexts.list", listing)]

    async def restart(self, context: str) -> ContextInfo:
        """Start one anew."""
        restarting = self._machine.restart_code_context(context.removeprefix(PREFIX))
        await self._account.call("contexts.restart", restarting)
        found = [one for one in await self.list() if one.id == context]
        return found[0] if found else ContextInfo(context, "", "/home/user")

    async def remove(self, context: str) -> None:
        """End one."""
        removing = self._machine.remove_code_context(context.removeprefix(PREFIX))
        await self._account.call("contexts.remove", removing)

    async def _default(self, language: str) -> ContextInfo:
        # E2B's own default has no id, by which to start it anew. Ours is known to every client.
        listing = self._machine.list_code_contexts()
        for one in await self._account.call("run_code", listing):
            if (one.language, one.cwd) == (language, _DEFAULT):
                return _context(one)
        making = self._machine.create_code_context(cwd=_DEFAULT, language=language)
        return _context(await self._account.call("run_code", making))


class NativeCode(CodeStream):
    """A cell that runs there."""

    def __init__(
        self,
        account: Account,
        machine: AsyncSandbox,
        interpreter: Interpreter,
        request: RunCodeRequest,
        context: str,
    ) -> None:
        self._account = account
        self._interpreter = interpreter
        self._request = request
        self._context = context
        self._events: asyncio.Queue[CodeEvent | None] = asyncio.Queue(AHEAD)
        self._error: SandboxError | None = None
        self._count = 0
        self._restarted = False
        self._timed_out = False
        self._running = asyncio.get_running_loop().create_task(self._run(machine))

    async def events(self) -> AsyncIterator[CodeEvent]:
        """What it does, `CodeEnded` last."""
        while (event := await self._events.get()) is not None:
            yield event
        if self._error is not None:
            raise self._error
        yield CodeEnded(
            context=self._context,
            execution_count=self._count,
            timed_out=self._timed_out,
            restarted=self._restarted,
        )

    async def interrupt(self) -> None:
        """Stop the cell, and its kernel with it."""
        if not self._running.done():
            self._running.cancel()
            await self._start_anew()

    async def detach(self) -> None:
        """Let go of it."""
        self._running.cancel()

    async def _run(self, machine: AsyncSandbox) -> None:
        limit = asyncio.timeout(self._request.timeout)
        try:
            async with limit:
                await self._execute(machine)
        except TimeoutError:
            if not limit.expired():
                raise
            self._timed_out = True
            await self._start_anew()
        except SandboxError as error:
            self._error = error
        await self._events.put(None)

    async def _start_anew(self) -> None:
        # E2B interrupts a cell only when its next sign of life fails, five seconds later, and what
        # is asked of the context meanwhile never ends; a kernel that starts anew is sure.
        self._restarted = True
        try:
            await self._interpreter.restart(self._context)
        except SandboxError as error:
            self._error = error

    async def _execute(self, machine: AsyncSandbox) -> None:
        request = self._request
        running = machine.run_code(
            request.code,
            context=Context(self._context.removeprefix(PREFIX), request.language, ""),
            on_stdout=self._printed("stdout"),
            on_stderr=self._printed("stderr"),
            on_result=self._shown,
            on_error=self._raised,
            envs=dict(request.env) or None,
            timeout=0,
        )
        execution = await self._account.call("run_code", running)
        if execution.execution_count is None:
            raise ExecLostError(
                "the interpreter's answer ended before the cell", cause="transport", op="run_code"
            )
        self._count = execution.execution_count

    def _printed(self, stream: Any) -> Callable[[Any], Any]:
        async def printed(message: Any) -> None:
            await self._events.put(CodeOutput(stream, message.line.encode()))

        return printed

    async def _shown(self, result: Any) -> None:
        await self._events.put(CodeResult(Result(_bundle(result), bool(result.is_main_result))))

    async def _raised(self, error: Any) -> None:
        self._restarted = self._restarted or error.name == _RESTARTING
        await self._events.put(CodeRaised(CodeError(error.name, error.value, error.traceback)))


def _bundle(result: Any) -> dict[str, Any]:
    found = {mime: getattr(result, name) for name, mime in FORMATS.items()}
    if result.chart is not None:
        found[FORMATS["chart"]] = result.chart.to_dict()
    found.update(result.extra or {})
    return {mime: content for mime, content in found.items() if content is not None}


def _context(made: Any) -> ContextInfo:
    cwd = posixpath.dirname(made.cwd) if made.cwd == _DEFAULT else made.cwd
    return ContextInfo(PREFIX + made.id, made.language, cwd)
