"""What a sandbox uses: what the engine counts of its container, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sandboxkit.models import SandboxMetrics

from . import records
from .engine import Engine

__all__ = ["counted"]

_NANO = 1_000_000_000
# What goes when memory is wanted, by control groups version 1 and 2: as the engine's own tool does.
_CACHE = ("total_inactive_file", "inactive_file")


async def counted(engine: Engine, sandbox_id: str, seen: SandboxMetrics) -> SandboxMetrics:
    """What the guest has seen, with what the engine knows better.

    Args:
        engine: where.
        sandbox_id: which.
        seen: by the guest; it holds where the engine counts nothing, for want of a control group.

    Raises:
        Absent: there is no such container.
    """
    stats, shown = await asyncio.gather(
        engine.stats(sandbox_id), engine.inspect(sandbox_id, size=True)
    )
    host: Mapping[str, Any] = shown["HostConfig"]
    cpu = _cpu_seconds(stats)
    memory = _memory(stats)
    return replace(
        seen,
        cpu_seconds=seen.cpu_seconds if cpu is None else cpu,
        cpu_limit=host["NanoCpus"] / _NANO if host.get("NanoCpus") else None,
        memory_used=seen.memory_used if memory is None else memory,
        memory_limit=host.get("Memory") or None,
        # The file system that the guest sees is shared with all that is on the engine.
        disk_used=shown.get("SizeRw", 0),
        disk_limit=records.record_of(shown["Config"].get("Labels") or {}).get("disk"),
    )


def _cpu_seconds(stats: Mapping[str, Any]) -> float | None:
    total = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    return total / _NANO if total else None


def _memory(stats: Mapping[str, Any]) -> int | None:
    memory: Mapping[str, Any] = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details: Mapping[str, int] = memory.get("stats") or {}
    cache = next((details[name] for name in _CACHE if name in details), 0)
    return int(max(0, memory["usage"] - cache))
