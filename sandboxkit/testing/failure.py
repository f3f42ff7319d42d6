"""What is worth knowing of a sandbox when a test has failed."""

from __future__ import annotations

from ..errors import SandboxError
from ..models import ProcessInfo
from ..sync import Sandbox

__all__ = ["describe"]

SHOWN = 10
"""Processes, the last ones."""

LONGEST = 200
"""Characters of a command."""


def describe(sandbox: Sandbox) -> str:
    """The sandbox's address, what it is, and what ran in it last; never raises a `SandboxError`."""
    lines = [f"address: {sandbox.address}"]
    try:
        info = sandbox.info()
        lines.append(f"isolation: {info.isolation}, user: {info.user}, workdir: {info.workdir}")
        if sandbox.capabilities.attach:
            lines += _told(sandbox.processes())
    except SandboxError as error:
        lines.append(f"and no more can be said: {error.message}")
    return "\n".join(lines)


def _told(processes: list[ProcessInfo]) -> list[str]:
    if not processes:
        return ["processes: none was started"]
    last = sorted(processes, key=lambda one: one.started_at)[-SHOWN:]
    left_out = len(processes) - len(last)
    head = f"processes, the last {len(last)} of {len(processes)}:" if left_out else "processes:"
    return [head, *(f"  {one.pid}: {_end(one)}: {_command(one)}" for one in last)]


def _end(process: ProcessInfo) -> str:
    if process.running:
        return "running"
    return f"exit {process.exit_code}"


def _command(process: ProcessInfo) -> str:
    text = " ".join(process.command.split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
