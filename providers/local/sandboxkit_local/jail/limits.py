"""Limits that need no cgroup."""

from __future__ import annotations

import resource

__all__ = ["DEFAULT_DISK", "DEFAULT_PIDS", "apply"]

DEFAULT_DISK = 4 << 30
"""Bytes that a sandbox may write, all in memory."""

DEFAULT_PIDS = 4096
"""Processes and threads per user of a sandbox."""

_OPEN_FILES = 65_536


def apply(pids: int) -> None:
    """Bound processes, open files and core dumps of this process and all it will start.

    Processes are counted per user namespace, so it must be called inside the sandbox's own:
    before, the limit would count the processes of all its siblings.
    """
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    count = pids if hard == resource.RLIM_INFINITY else min(pids, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (count, count))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
