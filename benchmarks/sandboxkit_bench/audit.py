"""What there is on this machine before a run and after it, so that what is left can be told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .contenders.program import needed
from .samples import Finding
from .settings import Settings

__all__ = ["Census", "containers_left"]


@dataclass(frozen=True)
class Census:
    """Counts of the whole machine, as far as we may see it.

    Attributes:
        processes: that are there.
        pid_namespaces: in which they are.
        net_namespaces: likewise.
        mounts: of our own mount namespace.
        cgroups: directories of control groups.
        interfaces: of our own network namespace.
    """

    processes: int
    pid_namespaces: int
    net_namespaces: int
    mounts: int
    cgroups: int
    interfaces: int

    @classmethod
    def take(cls) -> Census:
        """Count now."""
        pids = [entry.path for entry in os.scandir("/proc") if entry.name.isdigit()]
        mounts = Path("/proc/self/mountinfo").read_text().count("\n")
        return cls(
            processes=len(pids),
            pid_namespaces=len(set(_links(pids, "pid"))),
            net_namespaces=len(set(_links(pids, "net"))),
            mounts=mounts,
            cgroups=sum(len(names) for _, names, _ in os.walk("/sys/fs/cgroup")),
            interfaces=len(os.listdir("/sys/class/net")),
        )

    def since(self, before: Census) -> list[Finding]:
        """What there is more of than before; nothing if there is not."""
        earlier = asdict(before)
        more = {
            name: (earlier[name], count)
            for name, count in asdict(self).items()
            if count > earlier[name]
        }
        if not more:
            return []
        counts = ", ".join(
            f"{name.replace('_', ' ')} {was} before and {now} after"
            for name, (was, now) in more.items()
        )
        text = (
            f"{counts}. A daemon and its interpreters stay until they are idle, and whoever else "
            "is at work on this machine is in these counts"
        )
        return [Finding("more than before", "", "this machine", text)]


def _links(paths: list[str], kind: str) -> Iterator[str]:
    for path in paths:
        try:
            yield os.readlink(f"{path}/ns/{kind}")
        except OSError:
            continue  # it has just ended, or is not ours to look at


def containers_left(settings: Settings) -> list[Finding]:
    """Containers of this run that the engine still has."""
    try:
        docker = needed("docker")
    except FileNotFoundError:
        return []
    label = f"label=sandboxkit-bench={settings.token}"
    command = [docker, "ps", "--all", "--quiet", "--filter", label]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    left = told.stdout.split()
    if not left:
        return []
    text = f"{len(left)} containers are still there: {', '.join(left[:3])}"
    return [Finding("leak", "", "docker", text)]
