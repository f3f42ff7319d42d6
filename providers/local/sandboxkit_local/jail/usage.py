"""What control groups count, of either version."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["cpu_seconds", "memory_used"]


def cpu_seconds(groups: Iterable[Path]) -> float | None:
    """Cpu time used by all that was ever in one of these groups; ``None`` if none counts it.

    A group of version 2 counts it without any controller, one of version 1 where its controller
    comes with cpuacct.
    """
    for group in groups:
        with contextlib.suppress(OSError):
            return int((group / "cpuacct.usage").read_text()) / 1e9
        with contextlib.suppress(OSError, KeyError):
            return _table(group / "cpu.stat")["usage_usec"] / 1e6
    return None


def memory_used(groups: Iterable[Path]) -> int | None:
    """Bytes in use, files that are kept in memory included; ``None`` if no group counts them.

    Copies of files on disk that were not used lately are left out: they go when memory is wanted.
    """
    for total, inactive in (
        ("memory.usage_in_bytes", "total_inactive_file"),
        ("memory.current", "inactive_file"),
    ):
        for group in groups:
            with contextlib.suppress(OSError):
                used = int((group / total).read_text())
                return max(0, used - _table(group / "memory.stat").get(inactive, 0))
    return None


def _table(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
