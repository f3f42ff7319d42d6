"""Sessions: shells that live on from command to command, with what each has written."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
import uuid
from collections.abc import Sequence
from typing import Any

from ...errors import SandboxError
from ...process import AsyncProcess
from ...sandbox import AsyncSandbox
from .faults import fault
from .logs import Budget, Log, Stream

__all__ = ["Command", "Session", "Sessions"]

EDGE = b"\x1e"
"""Stands around what tells the end of a command."""
MOST = 500
"""Sessions of one sandbox."""
REMEMBERED = 1000
"""Commands that a session remembers."""
MOST_TEXT = 32 << 20
"""Characters of all commands that the sessions of a sandbox remember."""
AHEAD = 64 << 10
"""Bytes kept of what a shell's children write while it runs no command."""


class Command:
    """One that a session runs.

    Attributes:
        id: its name.
        text: what was asked for.
        log: what it has written.
        exit_code: once it has ended.
        input: the pipe that its input comes from, a path; ``None`` is that it has none.
    """

    def __init__(
        self, text: str, *, takes_input: bool, by_line: bool, budget: Budget | None = None
    ) -> None:
        self.id = str(uuid.uuid4())
        self.text = text
        self.log = Log(by_line=by_line, budget=budget)
        self.exit_code: int | None = None
        self.ended = asyncio.Event()
        self.input = f"/tmp/.daytona-{self.id}" if takes_input else None
        self.nonce = secrets.token_hex(12).encode()
        self._open: set[Stream] = {"stdout", "stderr"}

    def line(self) -> str:
        """What the shell is told to run, and to say at its end."""
        run = f"{{ eval {shlex.quote(self.text)}\n}}"
        tell = f"printf '\\036%s:%d\\036' {self.nonce.decode()} $__dtn"
        both = f"__dtn=$?; {tell}; {tell} >&2"
        if self.input is None:
            return f"{run} </dev/null; {both}\n"
        # Open both ways, the pipe neither waits for a writer nor ever comes to its end.
        return f"mkfifo {self.input}; {run} <>{self.input}; {both}; rm -f {self.input}\n"

    def close(self, stream: Stream, code: int) -> None:
        """A stream has come to its end."""
        self._open.discard(stream)
        if not self._open:
            self.end(code)

    def end(self, code: int) -> None:
        """It has ended. Idempotent."""
        if self.exit_code is None:
            self.exit_code = code
            self.log.end()
            self.ended.set()

    def shown(self) -> dict[str, Any]:
        """As the wire has it."""
        told: dict[str, Any] = {"id": self.id, "command": self.text}
        if self.exit_code is not None:
            told["exitCode"] = self.exit_code
        return told


class _Splitter:
    """Finds in one stream of a shell where each command ends."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""
        self._at = 0

    def add(self, data: bytes, commands: Sequence[Command]) -> None:
        self._rest += data
        while self._rest and self._at < len(commands):
            command = commands[self._at]
            start = EDGE + command.nonce + b":"
            place = self._rest.find(start)
            if place < 0:
                keep = _overlap(self._rest, start)
                cut = len(self._rest) - keep
                command.log.add(self._stream, self._rest[:cut])
                self._rest = self._rest[cut:]
                return
            command.log.add(self._stream, self._rest[:place])
            self._rest = self._rest[place:]
            stop = self._rest.find(EDGE, len(start))
            if stop < 0:
                return
            code = int(self._rest[len(start) : stop])
            self._rest = self._rest[stop + 1 :]
            self._at += 1
            command.close(self._stream, code)
        self._rest = self._rest[-AHEAD:]


def _overlap(data: bytes, start: bytes) -> int:
    """How many bytes at the end may be the beginning of a mark."""
    for size in range(min(len(start) - 1, len(data)), 0, -1):
        if data.endswith(start[:size]):
            return size
    return 0


class Session:
    """A shell.

    Args:
        identifier: as its maker named it.
        sandbox: where.
        shell: the process.
        vendor: whether its output comes by the line, as Daytona's does.
        budget: what the output of all sessions of the sandbox may take.
    """

    def __init__(
        self,
        identifier: str,
        sandbox: AsyncSandbox,
        shell: AsyncProcess,
        *,
        vendor: bool,
        budget: Budget,
    ) -> None:
        self.id = identifier
        self.commands: list[Command] = []
        self._sandbox = sandbox
        self._shell = shell
        self._vendor = vendor
        self._budget = budget
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    async def run(self, text: str, *, waiting: bool) -> Command:
        """Run a command: to its end, or only begin it.

        Raises:
            Refusal: the shell has ended.
        """
        if self._ended:
            raise fault(410, f"session {self.id} has ended", "SESSION_ENDED")
        if len(self.commands) >= REMEMBERED:
            raise fault(429, f"a session runs {REMEMBERED} commands")
        if self._budget.texts + len(text) > MOST_TEXT:
            raise fault(429, "the commands of this sandbox's sessions are too long to remember")
        command = Command(text, takes_input=not waiting, by_line=self._vendor, budget=self._budget)
        self.commands.append(command)
        self._budget.texts += len(text)
        try:
            await self._shell.write(command.line())
        except (BrokenPipeError, SandboxError):
            self._forget(command)
            raise fault(410, f"session {self.id} has ended", "SESSION_ENDED") from None
        if waiting:
            await command.ended.wait()
        return command

    def _forget(self, command: Command) -> None:
        self.commands.remove(command)
        self._budget.texts -= len(command.text)
        command.log.release()

    def command(self, identifier: str) -> Command:
        """One by its name.

        Raises:
            Refusal: there is none.
        """
        for command in self.commands:
            if command.id == identifier:
                return command
        raise fault(404, f"command {identifier} not found in session {self.id}")

    async def type(self, command: Command, data: str) -> None:
        """Give a command input.

        Raises:
            Refusal: it has ended, or takes none.
        """
        if command.exit_code is not None:
            raise fault(410, "the command has ended", "COMMAND_ALREADY_COMPLETED")
        if command.input is None:
            raise fault(400, "the command was not started with runAsync")
        copy = ["sh", "-c", 'exec cat > "$0"', command.input]
        await self._sandbox.run(copy, stdin=data, timeout=30)

    def shown(self) -> dict[str, Any]:
        """As the wire has it."""
        return {"sessionId": self.id, "commands": [one.shown() for one in self.commands]}

    async def _read(self) -> None:
        splitters: dict[Stream, _Splitter] = {
            "stdout": _Splitter("stdout"),
            "stderr": _Splitter("stderr"),
        }
        code = -1
        try:
            async for chunk in self._shell:
                splitters[chunk.stream].add(chunk.data, self.commands)
            code = (await self._shell.wait()).exit_code
        except SandboxError:
            code = -1  # its end cannot be known
        finally:
            self._ended = True
            for command in self.commands:
                command.end(code)

    async def kill(self) -> None:
        """End it, and all that it started."""
        with contextlib.suppress(SandboxError):
            await self._shell.kill(grace=0.1)
        await self.close()

    async def close(self) -> None:
        """Let go of it; it lives on."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        for command in [*self.commands]:
            self._forget(command)
        await self._shell.close()


class Sessions:
    """All of one sandbox.

    Args:
        sandbox: whose.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox
        self._sessions: dict[str, Session] = {}
        self._making: set[str] = set()
        self._budget = Budget()

    async def make(
        self, identifier: str, shell: str, *, env: dict[str, str], user: str | None, vendor: bool
    ) -> None:
        """Start a shell.

        Raises:
            Refusal: there is one of this name, or there are too many.
        """
        if identifier in self._sessions or identifier in self._making:
            raise fault(409, f"session with ID {identifier} already exists")
        if len(self._sessions) + len(self._making) >= MOST:
            raise fault(429, f"there are {MOST} sessions already")
        self._making.add(identifier)
        try:
            process = await self._sandbox.start(
                [shell], stdin=True, env=env, user=user, max_output="1MiB"
            )
        finally:
            self._making.discard(identifier)
        self._sessions[identifier] = Session(
            identifier, self._sandbox, process, vendor=vendor, budget=self._budget
        )

    def get(self, identifier: str) -> Session:
        """One by its name.

        Raises:
            Refusal: there is none.
        """
        found = self._sessions.get(identifier)
        if found is None:
            raise fault(404, f"session {identifier} not found")
        return found

    def all(self) -> list[dict[str, Any]]:
        """All, as the wire has them."""
        return [one.shown() for one in self._sessions.values()]

    async def remove(self, identifier: str) -> None:
        """End one, and all that it started."""
        found = self.get(identifier)
        del self._sessions[identifier]
        await found.kill()

    async def close(self) -> None:
        """Let go of all; they live on."""
        while self._sessions:
            await self._sessions.popitem()[1].close()
