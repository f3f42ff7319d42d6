"""Pausing and resuming."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from e2b import SandboxState as SdkState

from sandboxkit.errors import SandboxError
from sandboxkit.guest.client import GuestClient

from . import records
from .account import Account
from .machines import Machines

__all__ = ["Pausing"]

_TELL = 2.0
"""Seconds that a guest has to hear of a pause; one that is stuck is paused all the same."""


class Pausing:
    """Lets sandboxes stand still and go on.

    E2B keeps no lifetime over a pause, and nothing can be added to what it has written down. Who
    has paused a sandbox remembers what was left; another client gives it its whole lifetime again.

    Args:
        account: whose sandboxes.
        client: gives the client of a sandbox's guest.
        machines: finds the SDK's objects.
    """

    def __init__(
        self, account: Account, client: Callable[[str], GuestClient], machines: Machines
    ) -> None:
        self._account = account
        self._client = client
        self._machines = machines
        self._left: dict[str, int] = {}

    async def pause(self, sandbox_id: str) -> None:
        """Pause one, with its memory. That it is paused already is no error."""
        found = await self._machines.look(sandbox_id)
        if found.state == SdkState.PAUSED:
            return
        left = (found.end_at - datetime.now(UTC)).total_seconds()
        client = self._client(sandbox_id)
        # On a server that freezes processes, and no machine, clocks go on in a pause.
        with contextlib.suppress(TimeoutError, SandboxError):
            async with asyncio.timeout(_TELL):
                await client.call("pausing")
        pausing = self._account.sandboxes.pause(sandbox_id, mode="full")
        try:
            await self._account.call("pause", pausing)
        except BaseException:
            with contextlib.suppress(SandboxError):
                await client.call("resumed")
            raise
        self._left[sandbox_id] = max(1, round(left))
        client.stand_still()

    def set_left(self, sandbox_id: str, seconds: int) -> None:
        """Give a paused one so much time once it goes on."""
        self._left[sandbox_id] = seconds

    async def resume(self, sandbox_id: str) -> None:
        """Let one go on. That it runs is no error."""
        found = await self._machines.look(sandbox_id)
        if found.state != SdkState.PAUSED:
            return
        whole = records.lifetime_of(found.metadata)
        left = self._left.pop(sandbox_id, whole) or records.seconds(3600)
        await self._machines.open(sandbox_id, left)
        client = self._client(sandbox_id)
        client.go_on()
        await client.call("resumed")
