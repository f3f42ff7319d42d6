"""A terminal of Daytona's that carries the guest.

Of all that its sandboxes offer only a terminal passes bytes both ways on one connection, and keeps
none of them: what passes through a session is all written to a file in the sandbox.
"""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from daytona import AsyncSandbox, PtySize
from daytona.handle.async_pty_handle import AsyncPtyHandle

from sandboxkit.errors import SandboxError, TransportError
from sandboxkit.guest.carried import Carrier, terminal_command

from .account import Account

__all__ = ["TerminalCarrier"]

AHEAD = 8
"""Pieces of output that may wait; then the SDK reads no further, and the sender stops."""

COMPLAINT = 2000
"""Characters kept of what is said before the loader is ready."""

PIECE = 64 << 10
"""Bytes of one message."""

READY = b"sandboxkit ready"


class TerminalCarrier(Carrier):
    """Runs the loader by the SDK's own means. Made by `start`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self._said: bytes | None = b""
        self._error: SandboxError | None = None
        self._handle: AsyncPtyHandle | None = None
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, account: Account, sandbox: AsyncSandbox) -> TerminalCarrier:
        """Start the loader in a sandbox.

        Raises:
            SandboxError: it could not be started.
        """
        carrier = cls(account)
        carrier._handle = await account.call(
            "start",
            sandbox.process.create_pty_session(
                f"sandboxkit-{secrets.token_hex(8)}",
                carrier._wrote,
                cwd="/",
                pty_size=PtySize(rows=24, cols=80),
            ),
        )
        carrier._following = asyncio.get_running_loop().create_task(carrier._follow())
        try:
            await carrier.send(terminal_command().encode() + b"\n")
        except BaseException:
            await carrier.stop()
            raise
        return carrier

    async def send(self, data: bytes) -> None:
        assert self._handle is not None
        for place in range(0, len(data), PIECE):
            piece = data[place : place + PIECE]
            await self._account.call("send", self._handle.send_input(piece), bounded=False)

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
        return "" if self._said is None else self._said.decode("utf-8", "replace")

    async def _wrote(self, data: bytes) -> None:
        if self._said is not None:
            self._said = (self._said + data)[-COMPLAINT:]
            if READY in self._said:
                self._said = None
        await self._pieces.put(data)

    async def _follow(self) -> None:
        assert self._handle is not None
        try:
            ended = await self._account.call("follow", self._handle.wait(), bounded=False)
            if ended.exit_code is None:
                raise TransportError(
                    f"the terminal broke off: {ended.error or 'nobody says why'}", op="follow"
                )
        except SandboxError as error:
            self._error = error
        await self._pieces.put(None)
