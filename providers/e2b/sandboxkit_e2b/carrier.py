"""A command of E2B's that carries the guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from e2b import AsyncCommandHandle, CommandExitException
from e2b_code_interpreter import AsyncSandbox

from sandboxkit.errors import SandboxError
from sandboxkit.guest.carried import Carrier, command

from .account import Account

__all__ = ["CommandCarrier"]

AHEAD = 8
"""Pieces of output that may wait; then the SDK reads no further, and the sender stops."""

COMPLAINT = 2000
"""Characters kept of its standard error."""


class CommandCarrier(Carrier):
    """Runs the loader by the SDK's own means. Made by `start`."""

    def __init__(self, account: Account, sandbox: AsyncSandbox) -> None:
        self._account = account
        self._sandbox = sandbox
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self._complaint = ""
        self._error: SandboxError | None = None
        self._handle: AsyncCommandHandle[None] | None = None
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, account: Account, sandbox: AsyncSandbox, variables: Mapping[str, str] | None = None
    ) -> CommandCarrier:
        """Start the loader in a sandbox, with these variables besides the sandbox's own.

        Raises:
            SandboxError: it could not be started.
        """
        carrier = cls(account, sandbox)
        carrier._handle = await account.call(
            "start",
            sandbox.commands.run(
                command(),
                background=True,
                cwd="/",
                envs=dict(variables or {}),
                user=account.settings.guest_user or None,
                stdin=True,
                timeout=0,  # else E2B ends it after a minute
                on_stdout=carrier._wrote,
                on_stderr=carrier._complained,
                retain_output=False,
            ),
        )
        carrier._following = asyncio.get_running_loop().create_task(carrier._follow())
        return carrier

    async def send(self, data: bytes) -> None:
        assert self._handle is not None
        await self._account.call("send", self._handle.send_stdin(data))

    async def output(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        following, handle = self._following, self._handle
        if following is None or handle is None:
            return
        self._following = None
        if not following.done():
            following.cancel()
            with contextlib.suppress(SandboxError):  # the sandbox may be gone, and it with it
                await self._account.call("stop", handle.kill())
        await handle.disconnect()

    @property
    def complaint(self) -> str:
        return self._complaint

    async def _wrote(self, text: str) -> None:
        await self._pieces.put(text.encode())

    def _complained(self, text: str) -> None:
        self._complaint = (self._complaint + text)[-COMPLAINT:]

    async def _follow(self) -> None:
        assert self._handle is not None
        try:
            with self._account.translated("follow"), contextlib.suppress(CommandExitException):
                await self._handle.wait()
        except SandboxError as error:
            self._error = error
        await self._pieces.put(None)
