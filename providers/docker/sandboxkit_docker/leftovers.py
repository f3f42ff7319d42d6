"""What clients that were killed have left, removed by the next one of the same owner."""

from __future__ import annotations

import contextlib

from sandboxkit.errors import SandboxError

from . import records, run_directory
from .engine import Engine
from .records import KIND

__all__ = ["Leftovers"]


class Leftovers:
    """Looks for them once, before anything is made by this client.

    Args:
        engine: where.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._looked = False

    async def remove(self, owner: str) -> None:
        """Remove what nobody will start any more, and directories of what is no more.

        Args:
            owner: whose; what is others' is left alone.
        """
        if self._looked:
            return
        self._looked = True
        with contextlib.suppress(SandboxError):  # then creating will say so
            found = await self._engine.list_containers({KIND: None})
            for item in found:
                labels = item["Labels"]
                if labels.get(f"{records.PREFIX}owner", "") != owner:
                    continue
                if item["State"] == "created" and records.is_abandoned(labels):
                    await self._engine.remove(item["Id"])
            if self._engine.is_local:
                used = [records.record_of(item["Labels"]).get("run") for item in found]
                run_directory.sweep({path for path in used if path})
