"""The SDK's objects for sandboxes, each of which holds what proves to a sandbox who we are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from e2b import SandboxInfo
from e2b_code_interpreter import AsyncSandbox

from sandboxkit.errors import Cause, SandboxNotFoundError

from .account import Account

__all__ = ["Machines"]

_SKEW = timedelta(seconds=1)
"""By which E2B's clock and ours may differ, and an end may be early."""


class Machines:
    """Finds them, and keeps those it has found.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, AsyncSandbox] = {}
        self._ends: dict[str, datetime] = {}

    def put(self, machine: AsyncSandbox, ends: datetime) -> None:
        """Keep one, which ends then."""
        self._known[machine.sandbox_id] = machine
        self._ends[machine.sandbox_id] = ends

    def known(self, sandbox_id: str) -> AsyncSandbox | None:
        """One that is kept."""
        return self._known.get(sandbox_id)

    def forget(self, sandbox_id: str) -> None:
        """Let go of one."""
        self._known.pop(sandbox_id, None)
        self._ends.pop(sandbox_id, None)

    async def look(self, sandbox_id: str, op: str = "connect") -> SandboxInfo:
        """What E2B says of a sandbox, which this neither wakes nor keeps alive.

        Args:
            sandbox_id: which.
            op: what it is asked for.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """
        looking = self._account.sandboxes.get_info(sandbox_id)
        try:
            found: SandboxInfo = await self._account.call(op, looking)
        except SandboxNotFoundError as error:
            error.cause = self._cause(sandbox_id)
            raise
        self._ends[sandbox_id] = found.end_at
        return found

    def _cause(self, sandbox_id: str) -> Cause | None:
        """Why one has ended, of which E2B remembers nothing: at its time, or before."""
        ends = self._ends.get(sandbox_id)
        if ends is None:
            return None
        return "expired" if datetime.now(UTC) >= ends - _SKEW else "killed"

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
