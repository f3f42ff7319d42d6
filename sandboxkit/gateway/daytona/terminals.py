"""The terminals of a sandbox: a WebSocket each, which may be left and taken up again."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...errors import SandboxError
from ...process import AsyncProcess
from ...sandbox import AsyncSandbox
from .faults import fault
from .sockets import Socket

__all__ = ["Terminal", "Terminals", "envs_of"]

EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
ENVS = "X-Daytona-Pty-Envs~"
MOST = 200
"""Terminals of one sandbox."""
LARGEST = 1000
"""Rows or columns."""


@dataclass(eq=False)
class Terminal:
    """A shell on a terminal.

    Attributes:
        id: as its maker named it.
        process: the shell.
        rows: of its size.
        cols: likewise.
        cwd: where it began.
        envs: that its maker gave it.
        created_at: when it was made.
    """

    id: str
    process: AsyncProcess
    rows: int
    cols: int
    cwd: str
    envs: dict[str, str]
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    reader: asyncio.Task[None] | None = None
    ended: bool = False

    def shown(self) -> dict[str, Any]:
        """As the wire has it."""
        return {
            "id": self.id,
            "cwd": self.cwd,
            "envs": self.envs,
            "cols": self.cols,
            "rows": self.rows,
            "createdAt": self.created_at.isoformat().replace("+00:00", "Z"),
            "active": not self.ended,
            "lazyStart": False,
        }


class Terminals:
    """All of one sandbox.

    Args:
        sandbox: whose.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox
        self._terminals: dict[str, Terminal] = {}
        self._making: set[str] = set()

    async def make(
        self,
        identifier: str,
        shell: str,
        *,
        cwd: str | None,
        envs: dict[str, str],
        rows: int,
        cols: int,
        user: str | None,
    ) -> Terminal:
        """Start a shell on a terminal.

        Raises:
            Refusal: there is one of this name, or there are too many.
        """
        if not (0 < rows <= LARGEST and 0 < cols <= LARGEST):
            raise fault(400, f"a terminal has from 1 to {LARGEST} rows and columns")
        if identifier in self._terminals or identifier in self._making:
            raise fault(409, f"PTY session with ID {identifier} already exists")
        if len(self._terminals) + len(self._making) >= MOST:
            raise fault(429, f"there are {MOST} PTY sessions already")
        self._making.add(identifier)
        try:
            process = await self._sandbox.pty(
                [shell], cwd=cwd, env=envs, size=(rows, cols), user=user
            )
        finally:
            self._making.discard(identifier)
        made = Terminal(identifier, process, rows, cols, cwd or "", envs)
        self._terminals[identifier] = made
        return made

    def get(self, identifier: str) -> Terminal:
        """One by its name.

        Raises:
            Refusal: there is none.
        """
        found = self._terminals.get(identifier)
        if found is None:
            raise fault(404, f"PTY session {identifier} not found")
        return found

    def all(self) -> list[dict[str, Any]]:
        """All, as the wire has them."""
        return [one.shown() for one in self._terminals.values()]

    async def resize(self, identifier: str, rows: int, cols: int) -> Terminal:
        """Give one another size."""
        found = self.get(identifier)
        if not (0 < rows <= LARGEST and 0 < cols <= LARGEST):
            raise fault(400, f"a terminal has from 1 to {LARGEST} rows and columns")
        await found.process.resize(rows, cols)
        found.rows, found.cols = rows, cols
        return found

    async def remove(self, identifier: str) -> None:
        """End one, and all that it started."""
        found = self.get(identifier)
        del self._terminals[identifier]
        with contextlib.suppress(SandboxError):
            await found.process.kill(grace=0.1)
        await found.process.close()

    async def serve(self, socket: Socket, terminal: Terminal) -> None:
        """Pass on what is typed and shown, until the shell ends or the client leaves.

        Who comes later takes the terminal over.
        """
        told = EXIT_CONTROL in socket.offered
        await socket.accept(EXIT_CONTROL if told else None)
        if terminal.reader is not None and not terminal.reader.done():
            terminal.reader.cancel()
            await asyncio.wait({terminal.reader})
        await socket.send(json.dumps({"type": "control", "status": "connected"}))
        shown = asyncio.create_task(self._show(socket, terminal, told=told))
        terminal.reader = shown
        typed = asyncio.create_task(_type(socket, terminal))
        try:
            await asyncio.wait({shown, typed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (shown, typed):
                task.cancel()
            await asyncio.gather(shown, typed, return_exceptions=True)
            await socket.close()

    async def _show(self, socket: Socket, terminal: Terminal, *, told: bool) -> None:
        ending: dict[str, Any] = {}
        try:
            async with contextlib.aclosing(aiter(terminal.process)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    await socket.send(chunk.data)
            ending["exitCode"] = (await terminal.process.wait()).exit_code
        except SandboxError as error:
            ending = {"error": error.message, "exitReason": "the terminal was lost"}
        self._forget(terminal)
        if told and "exitCode" in ending:
            exited = {"type": "control", "status": "exited", **ending}
            await socket.send(json.dumps(exited))
        await socket.close(1000, json.dumps(ending))

    def _forget(self, terminal: Terminal) -> None:
        terminal.ended = True
        if self._terminals.get(terminal.id) is terminal:
            del self._terminals[terminal.id]

    async def close(self) -> None:
        """Let go of all; they live on."""
        while self._terminals:
            terminal = self._terminals.popitem()[1]
            if terminal.reader is not None:
                terminal.reader.cancel()
            await terminal.process.close()


async def _type(socket: Socket, terminal: Terminal) -> None:
    while (message := await socket.message()) is not None:
        # What comes after the end, or too late, is for nobody.
        with contextlib.suppress(SandboxError, BrokenPipeError):
            await terminal.process.write(message)


def envs_of(offered: list[str]) -> dict[str, str]:
    """The variables that a client hands over among the subprotocols.

    Raises:
        Refusal: they cannot be read.
    """
    for token in offered:
        if not token.startswith(ENVS):
            continue
        packed = token.removeprefix(ENVS)
        try:
            value = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        except (binascii.Error, ValueError):
            raise fault(400, "the PTY's variables cannot be read") from None
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise fault(400, "the PTY's variables are not names and texts")
        return value
    return {}
