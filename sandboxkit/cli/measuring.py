"""What sandboxes use, for `ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandboxkit.errors import SandboxNotFoundError, SandboxPausedError, UnsupportedError
from sandboxkit.units import format_size

if TYPE_CHECKING:
    from sandboxkit.models import SandboxMetrics

__all__ = ["METRICS", "in_words", "metrics_of"]

METRICS = ("ADDRESS", "STATE", "CPU TIME", "MEMORY", "DISK", "PROCESSES")
"""The columns: address and state, and those that `in_words` fills."""


def metrics_of(profile: str, address: str) -> SandboxMetrics | None:
    """What it uses; ``None`` if it is paused or gone, or if nobody can tell."""
    from sandboxkit import Sandbox

    try:
        sandbox = Sandbox.connect(address, profile=profile, resume=False)
    except SandboxNotFoundError:
        return None
    try:
        return sandbox.metrics()
    except (SandboxNotFoundError, SandboxPausedError, UnsupportedError):
        return None
    finally:
        sandbox.close()


def in_words(use: SandboxMetrics | None) -> tuple[str, str, str, str]:
    """Cpu time, memory, disk and processes; a dash is what is not known."""
    if use is None:
        return ("-", "-", "-", "-")
    cpu = "-" if use.cpu_seconds is None else f"{use.cpu_seconds:.1f}s"
    processes = "-" if use.processes is None else str(use.processes)
    return (
        cpu,
        _of(use.memory_used, use.memory_limit),
        _of(use.disk_used, use.disk_limit),
        processes,
    )


def _of(used: int | None, limit: int | None) -> str:
    if used is None:
        return "-"
    return format_size(used) if limit is None else f"{format_size(used)} of {format_size(limit)}"
