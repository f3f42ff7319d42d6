"""Limits that need no cgroup."""

from __future__ import annotations

import resource

__all__ = ["DEFAULT_DISK", "DEFAULT_PIDS", "apply", "default_disk"]

DEFAULT_DISK = 4 << 30
"""Bytes that a sandbox may write, all in memory."""


def default_disk(memory: int | None) -> int:
    """Bytes that a sandbox may write, all in memory: of that, half, so that what runs has the rest.

    Args:
        memory: the sandbox's limit in bytes, if it has one.
    """
    return DEFAULT_DISK if memory is None else min(DEFAULT_DISK, memory // 2)


DEFAULT_PIDS = 4096
"""Processes and threads per user of a sandbox."""

_OPEN_FILES = 65_536


def apply(pids: int) -> None:
    """Bound processes, open files, core dumps and priority of this process and all it will start.

    Processes are counted per user namespace, so it must be called inside the sandbox's own:
    before, the limit would count the processes of all its siblings.
    """
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    count = pids if hard == resource.RLIM_INFINITY else min(pids, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (count, count))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), most))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE):
        resource.setrlimit(kind, (0, 0))
