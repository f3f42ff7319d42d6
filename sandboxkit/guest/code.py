"""A cell of code in a guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from signal import SIGKILL
from typing import Any

from ..errors import (
    Cause,
    ExecLostError,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
)
from ..provider import CodeEnded, CodeEvent, CodeRaised, CodeStream, RunCodeRequest
from .client import GuestClient
from .code_link import CodeLink

__all__ = ["GuestCode"]


class GuestCode(CodeStream):
    """A cell that was sent to a guest; see `run`. It is not resumed when the connection breaks."""

    def __init__(self, client: GuestClient) -> None:
        self._client = client
        self._link = CodeLink()

    @classmethod
    async def run(cls, client: GuestClient, request: RunCodeRequest) -> GuestCode:
        """Send a cell; what becomes of it is said by `events`.

        Raises:
            SandboxError: why it could not be sent.
        """
        cell = cls(client)
        arguments: dict[str, Any] = {
            "code": request.code,
            "language": request.language,
            "grace": request.grace,
        }
        for name in ("context", "timeout"):
            value = getattr(request, name)
            if value is not None:
                arguments[name] = value
        if request.env:
            arguments["env"] = dict(request.env)
        await client.open(cell._link, "run_code", arguments)
        return cell

    async def events(self) -> AsyncIterator[CodeEvent]:
        link = self._link
        oom = False
        try:
            while (item := await link.inbox.get()) is not None:
                event, size = item
                link.taken(event, size)
                if type(event) is CodeRaised and event.signal == SIGKILL:
                    oom = await self._ran_out()
                    if oom:
                        event = _starved(event)
                elif type(event) is CodeEnded:
                    oom = oom or (event.exit_code == 128 + SIGKILL and await self._ran_out())
                    event = replace(event, oom=oom) if oom else event
                yield event
        except TransportError as error:
            raise await self._lost(error) from error

    async def interrupt(self) -> None:
        self._link.reset(forget=False)
        try:
            await asyncio.shield(self._link.over)
        except TransportError as error:
            raise await self._lost(error) from error

    async def detach(self) -> None:
        self._link.reset()
        self._link.inbox.close()

    async def _ran_out(self) -> bool:
        """Whether what was killed was killed for want of memory, as far as anybody can tell."""
        if self._client.ran_out is None:
            return False
        try:
            return await self._client.ran_out()
        except SandboxError:
            return False

    async def _lost(self, error: TransportError) -> ExecLostError:
        explained = await self._client.explain(error)
        cause: Cause = "transport"
        if isinstance(explained, SandboxNotFoundError):
            cause = explained.cause or cause
        return ExecLostError(
            f"the cell was lost ({cause}): {error}",
            cause=cause,
            op="run_code",
            provider=self._client.provider,
            sandbox_id=self._client.sandbox_id,
        )


def _starved(event: CodeRaised) -> CodeRaised:
    """The same end, said to be for want of memory."""
    error = event.error
    return replace(event, error=replace(error, value=f"out of memory: {error.value}"))
