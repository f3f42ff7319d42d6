"""Commands and code that run to their end, their two streams merged."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import (
    CommandTimeoutError,
    PathNotDirectoryError,
    PathNotFoundError,
    SandboxError,
)
from ...models import CommandResult
from ...process import AsyncProcess
from ..http import json_answer, json_of, while_there
from ..refusal import Refusal
from .faults import fault
from .fields import number, pairs, text, texts, whole
from .machine import Machine, environment

__all__ = ["Processes", "exit_code_of"]

MOST_CODE = 8 << 20
"""Bytes of a command or of code."""
MERGED = ["sh", "-c", 'exec "$@" 2>&1', "sh"]
LANGUAGES: dict[str, Sequence[str]] = {
    "python": ("python3", "-u", "-"),
    "javascript": ("node", "-"),
    "typescript": ("npx", "ts-node", "-"),
}
"""What runs code that comes on standard input."""


class Processes:
    """One client's calls.

    Args:
        machine: where.
        options: of the sandbox.
        vendor: whether to be as weak as Daytona's own: a call lasts until all pipes are closed, a
            timeout ends the process alone, a signal is -1.
    """

    def __init__(self, machine: Machine, options: dict[str, Any], *, vendor: bool) -> None:
        self._machine = machine
        self._options = options
        self._vendor = vendor

    async def execute(self, request: Request) -> Response:
        """Run a command with the sandbox's shell."""
        body = await json_of(request, MOST_CODE)
        command = whole(body, "command")
        argv = [*MERGED, self._machine.shell, "-c", command]
        async with while_there(request.receive):
            result = await self._run(argv, body, cwd=text(body, "cwd"))
            return json_answer({"exitCode": result[0], "result": result[1]})
        raise _left()

    async def run_code(self, request: Request) -> Response:
        """Run code in an interpreter of its own."""
        body = await json_of(request, MOST_CODE)
        code, language = whole(body, "code"), text(body, "language", "python")
        program = LANGUAGES.get(language or "python")
        if program is None:
            raise fault(400, f"the language {language!r:.40} is not known")
        argv = [*MERGED, *program, *texts(body, "argv")]
        async with while_there(request.receive):
            result = await self._run(argv, body, cwd=None, stdin=code)
            return json_answer(
                {"exitCode": result[0], "result": result[1], "artifacts": {"charts": []}}
            )
        raise _left()

    async def _run(
        self, argv: list[str], body: dict[str, Any], *, cwd: str | None, stdin: str = ""
    ) -> tuple[int, str]:
        timeout = number(body, "timeout") or None
        try:
            process = await self._machine.sandbox.start(
                argv,
                cwd=cwd or None,
                env={**environment(self._options), **pairs(body, "envs")},
                stdin=bool(stdin),
                timeout=None if self._vendor else timeout,
            )
        except (PathNotFoundError, PathNotDirectoryError) as error:
            raise fault(400, error.message) from None
        try:
            async with asyncio.timeout(timeout if self._vendor else None):
                result = await self._ended(process, stdin)
        except (TimeoutError, CommandTimeoutError):
            with contextlib.suppress(SandboxError):
                await process.signal(signal.SIGKILL)
            late = "command execution timeout"
            raise fault(408, late, "PROCESS_EXECUTION_TIMEOUT") from None
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                await asyncio.shield(process.kill(grace=0))
            raise
        finally:
            await process.close()
        return exit_code_of(result, vendor=self._vendor), result.stdout

    async def _ended(self, process: AsyncProcess, stdin: str) -> CommandResult:
        if stdin:
            with contextlib.suppress(BrokenPipeError):
                await process.write(stdin)
                await process.close_stdin()
        result = await process.wait()
        if self._vendor:
            async with contextlib.aclosing(aiter(process)) as rest:  # type: ignore[type-var]
                async for _ in rest:
                    continue
            result = await process.wait()
        return result


def _left() -> Refusal:
    return fault(499, "the client has left, and what it ran was ended")


def exit_code_of(result: CommandResult, *, vendor: bool) -> int:
    """How a process ended, as the wire has it."""
    return -1 if vendor and result.signal is not None else result.exit_code
