"""Pausing and resuming, and the moments at which sandboxes end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from daytona import AsyncSandbox

from sandboxkit.guest.client import GuestClient

from . import records
from .account import Account
from .endings import Endings
from .machines import Machines
from .records import Pause

__all__ = ["Pausing"]

PATIENCE = 120.0
"""Seconds for a sandbox to stop or start."""


class Pausing:
    """Lets sandboxes stand still and go on.

    What was left of a lifetime is written down in the sandbox's labels, so that any client lets it
    go on with as much. Daytona's time to live runs on meanwhile, and is set anew each time.

    Args:
        account: whose sandboxes.
        client: gives the client of a sandbox's guest.
        machines: finds the SDK's objects.
        endings: ends those whose time is over.
    """

    def __init__(
        self,
        account: Account,
        client: Callable[[str], GuestClient],
        machines: Machines,
        endings: Endings,
    ) -> None:
        self._account = account
        self._client = client
        self._machines = machines
        self._endings = endings
        self._memory = account.settings.sandbox_class == "linux-vm"

    async def pause(self, sandbox_id: str, lifetime: float | None) -> None:
        """Pause one, for so many seconds. That it is paused already is no error."""
        machine = await self._machines.look(sandbox_id)
        until = None if lifetime is None else time.time() + lifetime
        if records.is_paused(machine):
            written = records.pause(machine.labels) or Pause(None, None)
            await self._write(machine, Pause(written.left, until))
            return
        ends = records.expiry(machine.labels, paused=False)
        await self._write(machine, Pause(None if ends is None else ends - time.time(), until))
        client = self._client(sandbox_id)
        if self._memory:
            await self._account.call("pause", machine.pause(timeout=PATIENCE), bounded=False)
            client.stand_still()
        else:
            await self._account.call("pause", machine.stop(timeout=PATIENCE), bounded=False)

    async def _write(self, machine: AsyncSandbox, paused: Pause) -> None:
        self._endings.set(machine.id, paused.until)
        labels = records.labels_paused(machine.labels, paused)
        await self._account.call("pause", machine.set_labels(labels))
        minutes = records.minutes(machine, paused.until)
        await self._account.call("pause", machine.set_ttl(minutes))

    async def resume(self, sandbox_id: str, use: Callable[[], Awaitable[object]]) -> None:
        """Let one go on. That it runs is no error.

        Args:
            sandbox_id: which.
            use: connects to it, before its time begins to run.
        """
        machine = await self._machines.look(sandbox_id)
        if not records.is_paused(machine):
            return
        self._endings.forget(sandbox_id)
        written = records.pause(machine.labels)
        left = None if written is None else written.left
        await self._account.call("resume", machine.start(timeout=PATIENCE), bounded=False)
        if self._memory:
            self._client(sandbox_id).go_on()
        await use()
        await self.end_at(machine, None if left is None else time.time() + left)

    async def end_at(self, machine: AsyncSandbox, expires: float | None) -> None:
        """Let a running sandbox end at a moment, in seconds since 1970; ``None`` is never."""
        self._endings.set(machine.id, expires)
        labels = records.labels_expiring(machine.labels, expires)
        await self._account.call("set_lifetime", machine.set_labels(labels))
        minutes = records.minutes(machine, expires)
        await self._account.call("set_lifetime", machine.set_ttl(minutes))
