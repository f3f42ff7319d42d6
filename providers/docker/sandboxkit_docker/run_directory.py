"""Directories of the host's that are bound into containers, each for one guest's socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["make", "remove", "socket_in", "sweep"]

_STALE = 3600.0  # seconds after which one without a container is nobody's
_PREFIX = "sbx-"


def _base() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR")
    for base in (given, f"/run/user/{os.getuid()}"):
        if base and os.path.isdir(base) and os.access(base, os.W_OK):
            return Path(base) / "sandboxkit-docker"
    return Path(f"/tmp/sandboxkit-docker-{os.getuid()}")


def make(name: str) -> str | None:
    """A new directory that only this user can reach; ``None`` if there can be none.

    It is open to all by its own mode, since the container's root may be another user here; what
    keeps others out is the directory above it.
    """
    base = _base()
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(base)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return None
        if found.st_mode & 0o077:
            base.chmod(0o700)
        made = base / f"{_PREFIX}{name}"
        made.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return str(made)


def socket_in(directory: str) -> str:
    """Where the guest's socket is, seen from the host."""
    return f"{directory}/guest.sock"


def remove(directory: str) -> None:
    """Remove one, if it is there and ours."""
    if Path(directory).name.startswith(_PREFIX):
        shutil.rmtree(directory, ignore_errors=True)


def sweep(used: Collection[str]) -> None:
    """Remove what containers that ended by themselves have left.

    Args:
        used: those of containers that are there.
    """
    with contextlib.suppress(OSError):
        for entry in os.scandir(_base()):
            if entry.path not in used and _is_left(entry):
                remove(entry.path)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Whether a guest has ended there, or has not come for so long that none will."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(socket_in(entry.path))
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE
        except OSError:
            pass
    return False
