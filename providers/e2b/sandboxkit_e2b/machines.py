"""The SDK's objects for sandboxes, each of which holds what proves to a sandbox who we are."""

from __future__ import annotations

from datetime import UTC, datetime

from e2b import SandboxInfo
from e2b_code_interpreter import AsyncSandbox

from .account import Account

__all__ = ["Machines"]


class Machines:
    """Finds them, and keeps those it has found.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, AsyncSandbox] = {}

    def put(self, machine: AsyncSandbox) -> None:
        """Keep one."""
        self._known[machine.sandbox_id] = machine

    def known(self, sandbox_id: str) -> AsyncSandbox | None:
        """One that is kept."""
        return self._known.get(sandbox_id)

    def forget(self, sandbox_id: str) -> None:
        """Let go of one."""
        self._known.pop(sandbox_id, None)

    async def look(self, sandbox_id: str) -> SandboxInfo:
        """What E2B says of a sandbox, which this neither wakes nor keeps alive.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """
        looking = self._account.sandboxes.get_info(sandbox_id)
        return await self._account.call("connect", looking)

    async def get(self, sandbox_id: str, found: SandboxInfo | None = None) -> AsyncSandbox:
        """The object of a running sandbox.

        The SDK makes one only by E2B's operation ``connect``, which gives a sandbox five more
        minutes if it has less. It is asked for no more than what is left, so that nothing changes.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """
        machine = self._known.get(sandbox_id)
        if machine is None:
            found = found or await self.look(sandbox_id)
            left = int((found.end_at - datetime.now(UTC)).total_seconds())
            machine = await self.open(sandbox_id, max(1, left))
        return machine

    async def open(self, sandbox_id: str, lifetime: int) -> AsyncSandbox:
        """Connect anew, which wakes a paused sandbox, for at least this many seconds."""
        connecting = self._account.sandboxes.connect(sandbox_id, timeout=lifetime)
        machine = await self._account.call("connect", connecting)
        self._known[sandbox_id] = machine
        return machine
