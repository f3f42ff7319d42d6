"""A cell of code in a guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..errors import (
    Cause,
    ExecLostError,
    SandboxNotFoundError,
    TransportError,
)
from ..provider import CodeEvent, CodeStream, RunCodeRequest
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
        try:
            while (item := await link.inbox.get()) is not None:
                event, size = item
                link.taken(event, size)
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
