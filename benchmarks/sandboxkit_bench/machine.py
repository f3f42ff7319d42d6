"""What the machine is: what decides figures, and what disturbs them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from .contenders.host import fastest_python
from .floor import measured

__all__ = ["describe", "floor"]


def floor() -> dict[str, list[float]]:
    """Seconds that the machine itself takes, several measurements each."""
    return measured(fastest_python())


def describe() -> dict[str, str]:
    """The machine in words: what decides figures, and what disturbs them."""
    return {
        "kernel": platform.release(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "processors": str(os.cpu_count()),
        "memory": _field("/proc/meminfo", "MemTotal") or "unknown",
        "hypervisor": "yes" if "hypervisor" in _read("/proc/cpuinfo") else "none seen",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not told",
        "control groups": _groups(),
        "load before": _read("/proc/loadavg"),
        "pressure before": _read("/proc/pressure/cpu").partition("\n")[0] or "not told",
        "stolen": _stolen(),
        "python": f"{platform.python_version()}; where another starts it, {fastest_python()}",
        "user": "root" if os.geteuid() == 0 else "an ordinary one",
        "page cache": "warm: every scenario has a round that does not count",
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _field(path: str, name: str) -> str:
    for line in _read(path).splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _groups() -> str:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "version 2"
    return "both" if Path("/sys/fs/cgroup/unified").exists() else "version 1"


def _stolen() -> str:
    """The share of time that the hypervisor gave to others, since the machine started."""
    words = [int(word) for word in _read("/proc/stat").partition("\n")[0].split()[1:]]
    return f"{words[7] / max(1, sum(words)):.2%} of the time since the machine started"
