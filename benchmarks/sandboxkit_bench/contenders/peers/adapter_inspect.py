"""inspect_ai, whose sandbox environments are called as it calls them for a sample."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

TASK = "bench"


class Local:
    """Its ``local`` environment: a directory, and commands of this machine."""

    kind = "local"

    def __init__(self, options: dict[str, Any]) -> None:
        self.version = version("inspect_ai")
        self._type: Any = registry_find_sandboxenv(self.kind)
        self._made: dict[str, Any] = {}

    async def open(self) -> None:
        self._made = await self._type.sample_init(TASK, None, {})

    async def run(self, command: list[str]) -> str:
        done = await self._made["default"].exec(command)
        if not done.success:
            raise RuntimeError(f"status {done.returncode}: {done.stderr[-200:]}")
        return str(done.stdout)

    async def close(self) -> None:
        await self._type.sample_cleanup(TASK, None, self._made, False)
