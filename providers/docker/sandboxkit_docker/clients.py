"""Which process has begun something on an engine, and whether it is gone for certain.

An engine cannot make and start a container in one call. One whose client was killed in between
runs nothing that could end itself, so others of the same owner have to know that nobody will come.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["is_gone", "this_one"]


def this_one() -> dict[str, Any]:
    """What tells this process from any other; empty where the system does not say."""
    where, stat = _where(), _stat(os.getpid())
    return {"where": where, "pid": os.getpid(), "since": stat[1]} if where and stat else {}


def is_gone(client: object) -> bool:
    """Whether a process is certainly dead. Of those on other machines nobody knows.

    Args:
        client: as `this_one` said it, or anything else that was found in its place.
    """
    if not isinstance(client, Mapping) or not client or client.get("where") != _where():
        return False
    pid = client.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    stat = _stat(pid)  # another's may be hidden from us
    return stat is not None and (stat[0] in "ZX" or stat[1] != client.get("since"))


@functools.cache
def _where() -> str:
    """This machine since it was started, and the namespace that process numbers belong to."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]


def _stat(pid: int) -> tuple[str, int] | None:
    """A process's state, and when it was started, in ticks since the machine was."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode("ascii"), int(fields[19])
