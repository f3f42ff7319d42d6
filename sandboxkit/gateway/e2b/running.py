"""The processes of one sandbox that this gateway has in hand: their inputs, and what they are."""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SandboxError
from ...models import Cursor, ProcessInfo, SandboxInfo
from ...process import AsyncProcess
from ...sandbox import AsyncSandbox
from . import fields
from .connect import ConnectError

__all__ = ["Config", "Running", "home_of"]

KEPT = 1 << 20
"""Bytes kept of output that nobody reads here; a client that connects asks the guest for it."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a client asked to start.

    Attributes:
        cmd: the program.
        args: its arguments.
        envs: on top of the sandbox's.
        cwd: where it runs, as it was given.
        tag: a name for it.
        terminal: whether it runs on a terminal.
    """

    cmd: str
    args: Sequence[str] = ()
    envs: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    tag: str | None = None
    terminal: bool = False

    def shown(self) -> dict[str, Any]:
        """As the wire has it."""
        config: dict[str, Any] = {"cmd": self.cmd, "args": list(self.args), "envs": self.envs}
        if self.cwd is not None:
            config["cwd"] = self.cwd
        return config


class Running:
    """Starts, finds and remembers the processes of one sandbox."""

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo) -> None:
        self.sandbox = sandbox
        self.about = info
        self._configs: dict[int, Config] = {}
        self._inputs: dict[int, AsyncProcess] = {}
        self._watching: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let go of all; they live on."""
        for task in self._watching:
            task.cancel()
        while self._inputs:
            await self._inputs.popitem()[1].close()

    async def start(
        self,
        config: Config,
        *,
        user: str | None,
        stdin: bool,
        timeout: float | None,
        size: tuple[int, int] | None = None,
    ) -> AsyncProcess:
        """Start a process. It lives on when its client is gone."""
        argv = self._argv(config)
        cwd = _directory(config.cwd, home_of(self.about, user))
        if size is not None:
            process = await self.sandbox.pty(
                argv, cwd=cwd, env=config.envs, user=user, size=size, timeout=timeout
            )
        else:
            process = await self.sandbox.start(
                argv,
                cwd=cwd,
                env=config.envs,
                user=user,
                stdin=stdin,
                timeout=timeout,
                max_output=KEPT,
            )
        self._configs[process.pid] = config
        self._inputs[process.pid] = process
        return process

    def left(self, process: AsyncProcess) -> None:
        """Nobody hears what becomes of a process of `start`: forget it when it ends."""
        if self._inputs.get(process.pid) is process:
            self._forget_later(process)

    def forget(self, process: AsyncProcess) -> None:
        """A process has ended. Idempotent."""
        if self._inputs.get(process.pid) is process:
            del self._inputs[process.pid]
            del self._configs[process.pid]

    def _forget_later(self, process: AsyncProcess) -> None:
        watching = asyncio.create_task(self._forget_ended(process))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)

    async def _forget_ended(self, process: AsyncProcess) -> None:
        with contextlib.suppress(SandboxError, OSError):
            await process.wait()
        self.forget(process)

    def _argv(self, config: Config) -> list[str]:
        argv = [config.cmd, *config.args]
        shell = self.about.shell.split()[0]
        if config.cmd == "/bin/bash" and posixpath.basename(shell) == "sh":
            argv[0] = "/bin/sh"  # a sandbox without bash
        return argv

    async def follow(self, pid: int, cursor: Cursor) -> AsyncProcess:
        """Listen to a process from a place in its output, without its input."""
        return await self.sandbox.attach(pid, cursor)

    async def owned(self, pid: int) -> AsyncProcess:
        """A process with its input."""
        found = self._inputs.get(pid)
        if found is None:
            info = await self.info(pid)
            found = await self.sandbox.attach(pid, _end(info), stdin=True)
            self._inputs[pid] = found
            self._configs.setdefault(pid, config_of(info))
            self._forget_later(found)
        return found

    async def info(self, pid: int) -> ProcessInfo:
        """What is known of a process.

        Raises:
            ConnectError: there is none.
        """
        for info in await self.sandbox.processes():
            if info.pid == pid:
                return info
        raise ConnectError("not_found", f"process with pid {pid} not found")

    def pid_of(self, message: fields.Message) -> int:
        """The process that a message selects.

        Raises:
            ConnectError: it selects none that there is.
        """
        selector = fields.mapping(message, "process")
        tag = fields.text(selector, "tag")
        if tag is None:
            return fields.number(selector, "pid")
        for pid, config in self._configs.items():
            if config.tag == tag:
                return pid
        raise ConnectError("not_found", f"process with tag {tag} not found")

    async def list(self) -> list[dict[str, Any]]:
        """The processes that run, as the wire has them."""
        found = []
        for info in await self.sandbox.processes():
            if not info.running:
                continue
            config = self._configs.get(info.pid) or config_of(info)
            one: dict[str, Any] = {"config": config.shown(), "pid": info.pid}
            if config.tag is not None:
                one["tag"] = config.tag
            found.append(one)
        return found


def config_of(info: ProcessInfo) -> Config:
    """What was asked to start, as far as it can be told afterwards."""
    try:
        argv = shlex.split(info.command)
    except ValueError:
        argv = [info.command]
    return Config(argv[0] if argv else "", argv[1:], terminal=info.terminal)


def home_of(info: SandboxInfo, user: str | None) -> str:
    """What ``~`` is for a user."""
    return "/root" if user == "root" else info.workdir


def _directory(given: str | None, home: str) -> str | None:
    if not given:
        return None
    if given == "~" or given.startswith("~/"):
        return home + given[1:]
    return given


def _end(info: ProcessInfo) -> Cursor:
    return Cursor(info.stdout_total or 0, info.stderr_total or 0)
