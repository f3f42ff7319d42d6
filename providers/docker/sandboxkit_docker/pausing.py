"""Pausing: the engine freezes everything in a container, the guest included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandboxkit.errors import SandboxError
from sandboxkit.guest.client import GuestClient

from . import records
from .engine import Engine
from .errors import Conflict

__all__ = ["Pausing"]

FREEZES = 4
"""How often the engine is asked to freeze a container."""

_TELL = (
    1.0  # seconds that a guest has to tell its clients; one that is stuck is frozen all the same
)


class Pausing:
    """The transitions between running and paused.

    What is left of a lifetime is in the container's name meanwhile, so that any client can let it
    go on.

    Args:
        engine: whose containers.
        client: gives the client of a sandbox's guest.
    """

    def __init__(self, engine: Engine, client: Callable[[str], GuestClient]) -> None:
        self._engine = engine
        self._client = client

    async def pause(self, sandbox_id: str, shown: dict[str, Any], lifetime: float | None) -> None:
        """Pause it; if it is paused, only set its end anew.

        Args:
            sandbox_id: which.
            shown: the container, as the engine shows it.
            lifetime: seconds until it ends unless it goes on; ``None`` is never.
        """
        name = shown["Name"]
        if shown["State"].get("Paused"):
            await self._rename(sandbox_id, records.name_paused(name, _rest(shown), _end(lifetime)))
            return
        client = self._client(sandbox_id)
        rest = _rest(shown)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TELL):
                await client.call("pausing")
        try:
            with contextlib.suppress(Conflict):  # another has been faster
                await self._freeze(sandbox_id)
        except BaseException:
            with contextlib.suppress(SandboxError):
                await client.call("resumed")
            raise
        await self._rename(sandbox_id, records.name_paused(name, rest, _end(lifetime)))
        client.stand_still()

    async def _freeze(self, sandbox_id: str) -> None:
        # On control groups version 1 the kernel may not come to freeze what just forks or exits;
        # the engine gives up after a while, and the next try nearly always succeeds.
        for _ in range(FREEZES - 1):
            try:
                await self._engine.call("pause", self._engine.container(sandbox_id).pause())
            except SandboxError as error:
                if "unable to freeze" not in str(error):
                    raise
            else:
                return
        await self._engine.call("pause", self._engine.container(sandbox_id).pause())

    async def resume(self, sandbox_id: str, shown: dict[str, Any]) -> None:
        """Let it go on, with what was left of its lifetime."""
        if not shown["State"].get("Paused"):
            return
        rest = _rest(shown)
        with contextlib.suppress(Conflict):
            await self._engine.call("resume", self._engine.container(sandbox_id).unpause())
        await self._rename(sandbox_id, records.name_until(shown["Name"], _end(rest)))
        client = self._client(sandbox_id)
        client.go_on()
        await client.call("resumed")
        await client.call("set_lifetime", lifetime=rest)

    async def set_rest(self, sandbox_id: str, shown: dict[str, Any], rest: float | None) -> None:
        """Change what is left of a paused one's lifetime."""
        ends = records.ends_at(shown["Name"], {})
        await self._rename(sandbox_id, records.name_paused(shown["Name"], rest, ends))

    async def _rename(self, sandbox_id: str, name: str) -> None:
        await self.rename("pause", sandbox_id, name)

    async def rename(self, op: str, sandbox_id: str, name: str) -> None:
        """Write down in a sandbox's name what that says, unless it is there already."""
        try:
            await self._engine.call(op, self._engine.container(sandbox_id).rename(name))
        except SandboxError as error:
            # Names have whole seconds, so two changes within one may come to the same.
            if "same name as its current name" not in str(error):
                raise


def _end(lifetime: float | None) -> datetime | None:
    return None if lifetime is None else datetime.now(UTC) + timedelta(seconds=lifetime)


def _rest(shown: dict[str, Any]) -> float | None:
    """Seconds that are left of a lifetime."""
    if shown["State"].get("Paused"):
        return records.rest_of(shown["Name"])
    record = records.record_of(shown["Config"].get("Labels") or {})
    ends = records.ends_at(shown["Name"], record)
    return None if ends is None else max(0.0, (ends - datetime.now(UTC)).total_seconds())
