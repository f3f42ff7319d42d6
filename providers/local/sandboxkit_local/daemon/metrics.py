"""What the daemon can tell of a sandbox's use: what its control groups count, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandboxkit_local.jail import usage

from .registry import Sandbox

__all__ = ["of"]


def of(sandbox: Sandbox) -> dict[str, Any]:
    """Use and limits, as clients are told; ``None`` is what no group of it counts or bounds."""
    groups: list[Path] = []
    if sandbox.cgroup is not None:
        groups += sandbox.cgroup.directories
    if sandbox.freezer is not None:
        groups.append(sandbox.freezer.directory)
    limits = sandbox.order["limits"]
    return {
        "cpu_seconds": usage.cpu_seconds(groups),
        "cpu_limit": limits.get("cpu"),
        "memory_used": usage.memory_used(groups),
        "memory_limit": limits.get("memory"),
        "disk_limit": sandbox.disk,
    }
