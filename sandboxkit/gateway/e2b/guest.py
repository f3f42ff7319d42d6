"""What the gateway keeps of one sandbox while it has it in hand."""

from __future__ import annotations

from ...models import SandboxInfo, SandboxMetrics
from ...sandbox import AsyncSandbox
from .filesystem import Watchers
from .running import Running

__all__ = ["Guest"]


class Guest:
    """The processes and watchers of a sandbox.

    Attributes:
        running: its processes.
        watchers: those that are asked by polling.
        measured: the last metrics, which the use of cpu since is told from.
    """

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo) -> None:
        self.running = Running(sandbox, info)
        self.watchers = Watchers()
        self.measured: SandboxMetrics | None = None

    async def close(self) -> None:
        """Let go of all."""
        await self.watchers.close()
        await self.running.close()
