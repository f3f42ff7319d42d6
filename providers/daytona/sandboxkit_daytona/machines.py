"""The SDK's objects for sandboxes: found, kept, and ended for certain."""

from __future__ import annotations

from collections import deque
from functools import partial

from daytona import AsyncDaytona, AsyncSandbox

from sandboxkit.errors import NotFoundError, SandboxError, SandboxNotFoundError
from sandboxkit.provider.settling import until

from . import records
from .account import Account

__all__ = ["Machines"]

FIRST_LOOK, RARELY = 0.02, 1.0
"""Seconds between two looks at whether a sandbox is gone: at first, and at most."""

REMEMBERED = 1000
"""Sandboxes of which is remembered that their time was over."""

PATIENCE = 60.0
"""Seconds for a sandbox to go."""


class Machines:
    """Finds them, and keeps those it has found.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._kept: dict[str, AsyncSandbox] = {}
        self._kept_for: AsyncDaytona | None = None
        self._expired: deque[str] = deque(maxlen=REMEMBERED)

    @property
    def _known(self) -> dict[str, AsyncSandbox]:
        # They are of no use to another client than the one that made them.
        if self._kept_for is not self._account.client:
            self._kept_for, self._kept = self._account.client, {}
        return self._kept

    def put(self, machine: AsyncSandbox) -> None:
        """Keep one."""
        self._known[machine.id] = machine

    def known(self, sandbox_id: str) -> AsyncSandbox | None:
        """One that is kept, as it was when it was last looked at."""
        return self._kept.get(sandbox_id)

    async def look(self, sandbox_id: str) -> AsyncSandbox:
        """A sandbox as it is now.

        Raises:
            SandboxNotFoundError: there is none, or no longer, or its time is over.
        """
        machine = self._known.get(sandbox_id)
        try:
            if machine is None:
                machine = await self._account.call("connect", self._account.client.get(sandbox_id))
            else:
                await self._account.call("connect", machine.refresh_data())
        except NotFoundError as error:
            raise self.missing(sandbox_id) from error
        self._known[machine.id] = machine
        if not records.is_there(machine) or records.is_over(machine):
            raise self.missing(machine.id)
        return machine

    def missing(self, sandbox_id: str) -> SandboxNotFoundError:
        """That a sandbox is not there; why, where it is known."""
        machine = self._known.get(sandbox_id)
        over = sandbox_id in self._expired or (machine is not None and records.is_over(machine))
        return SandboxNotFoundError(
            f"sandbox {sandbox_id} has ended: its time was over"
            if over
            else f"there is no sandbox {sandbox_id}, or no longer",
            cause="expired" if over else None,
            provider="daytona",
            sandbox_id=sandbox_id,
        )

    async def get(self, sandbox_id: str) -> AsyncSandbox:
        """The object of a sandbox, which may be old."""
        return self._known.get(sandbox_id) or await self.look(sandbox_id)

    async def expire(self, sandbox_id: str) -> None:
        """End a sandbox whose time is over; who asks for it later is told so."""
        self._expired.append(sandbox_id)
        await self.delete(sandbox_id)

    async def delete(self, sandbox_id: str) -> bool:
        """End a sandbox; true if it was there. Returns only when it is really gone."""
        client = self._account.client
        machine = self._known.get(sandbox_id)
        try:
            if machine is None:
                machine = await self._account.call("kill", client.get(sandbox_id))
            deleting = client.delete(machine, timeout=PATIENCE)
            await self._account.call("kill", deleting, bounded=False)
            gone = partial(self._is_gone, machine)
            if not await until(gone, seconds=PATIENCE, first=FIRST_LOOK, rarest=RARELY):
                raise SandboxError(
                    f"Daytona has not deleted {sandbox_id} within {PATIENCE:g} s",
                    provider="daytona",
                    outcome="unknown",
                )
        except NotFoundError:
            return False
        finally:
            self._known.pop(sandbox_id, None)
        return True

    async def _is_gone(self, machine: AsyncSandbox) -> bool:
        # Daytona answers before a sandbox is gone, and what tells of it later may never come.
        def is_destroyed() -> bool:
            return machine.state is not None and machine.state.value == "destroyed"

        if not is_destroyed():
            try:
                await self._account.call("kill", machine.refresh_data())
            except NotFoundError:
                return True
        return is_destroyed()

    async def undo(self, name: str) -> None:
        """End a sandbox of this name that may have been made, if that can be done now."""
        try:
            machine = await self._account.call("create", self._account.client.get(name))
            await self.delete(machine.id)
        except SandboxError:
            return  # its time to live ends it
