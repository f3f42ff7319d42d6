"""What the gateway keeps of one sandbox while it has it in hand."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ...models import SandboxInfo, SandboxMetrics
from ...sandbox import AsyncSandbox
from .sessions import Sessions
from .terminals import Terminals

__all__ = ["Machine"]


class Machine:
    """The sessions and terminals of a sandbox.

    Attributes:
        sandbox: the sandbox.
        about: what its provider said of it first.
        sessions: its shells.
        terminals: its terminals.
        measured: the last metrics, which the use of cpu since is told from.
        used_at: when a client last asked its toolbox for something, in seconds since 1970.
    """

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo) -> None:
        self.sandbox = sandbox
        self.about = info
        self.sessions = Sessions(sandbox)
        self.terminals = Terminals(sandbox)
        self.measured: SandboxMetrics | None = None
        self.used_at = time.time()

    async def close(self) -> None:
        """Let go of all."""
        await self.sessions.close()
        await self.terminals.close()

    @property
    def shell(self) -> str:
        """What runs commands: the sandbox's own shell, without its options."""
        return self.about.shell.split()[0]


def home_of(info: SandboxInfo, user: str | None) -> str:
    """The home of a sandbox's user, as far as it is known."""
    name = user or info.user
    if name == info.user and info.workdir.startswith("/home/"):
        return "/".join(info.workdir.split("/")[:3])
    return "/root" if name == "root" else f"/home/{name}"


def environment(options: Mapping[str, object]) -> dict[str, str]:
    """The variables that a client has added to a sandbox's."""
    added = options.get("set_env")
    if not isinstance(added, dict):
        return {}
    return {str(name): str(value) for name, value in added.items()}
