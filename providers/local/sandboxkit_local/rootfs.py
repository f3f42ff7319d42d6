"""Templates that are a root directory of their own, or an archive of one.

The host's interpreter and the agent come along, out of the way below ``/dev``, so that the root
needs nothing: neither Python nor the host's C library.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandboxkit.errors import InvalidRequestError
from sandboxkit.guest.agent.config import DEFAULT_PATH

from . import bootstrap

__all__ = ["resolve"]

_SIGNS = ("bin", "usr/bin", "sbin")
_IMAGE = re.compile(
    r"blobs(/|$)|oci-layout$|index\.json$|manifest\.json$|[0-9a-f]{64}(/|\.json$|$)"
)
_EXPORT = "docker export $(docker create IMAGE) > FILE.tar"


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """The template whose root is ``given["rootfs"]``.

    Raises:
        InvalidRequestError: it is no root of a system, or what is there must not be shown.
    """
    others = ", ".join(sorted(given.keys() - {"rootfs"}))
    if others:
        raise InvalidRequestError(
            f"template: rootfs has an interpreter of its own; leave out {others}"
        )
    path = given["rootfs"]
    if not isinstance(path, str) or not os.path.isabs(path):
        raise InvalidRequestError(f"template: rootfs is an absolute path, not {path!r:.200}")
    try:
        path = os.path.realpath(path)
        found = os.stat(path)
    except (OSError, ValueError) as error:  # a NUL in it is the latter
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRequestError(f"template: rootfs {path!r:.200}: {why}") from None
    archive = not stat.S_ISDIR(found.st_mode)
    if archive:
        _check_archive(path, found)
    else:
        _check_directory(path)
    return {
        "name": path,
        "executable": sys.executable,
        "binds": [],
        "files": [],
        "links": {},
        "path": DEFAULT_PATH,
        "preload": [],
        "agent": bootstrap.agent_directory(),
        "rootfs": {
            "path": path,
            # Of an archive: whether it is still the same.
            "stamp": [found.st_size, found.st_mtime_ns, found.st_ino] if archive else None,
        },
    }


def _check_directory(path: str) -> None:
    home = Path.home().resolve()
    if path == "/" or home.is_relative_to(path):
        raise InvalidRequestError(
            f"template: rootfs {path!r} is this machine's own, or holds your home directory: all "
            "of it would be readable inside"
        )
    if not any(os.path.isdir(os.path.join(path, sign)) for sign in _SIGNS):
        raise InvalidRequestError(
            f"template: rootfs {path!r} is no root of a system: it has no {', '.join(_SIGNS)}"
        )


def _check_archive(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequestError(f"template: rootfs {path!r} is neither a directory nor a file")
    try:
        with tarfile.open(path) as archive:
            first = archive.next()
    except (OSError, EOFError, tarfile.TarError) as error:
        # What tarfile says are all the ways in which it is none.
        why = error.strerror if isinstance(error, OSError) else "it is none, or cut off"
        raise InvalidRequestError(
            f"template: rootfs {path!r} cannot be read as a tar archive: {why}"
        ) from None
    if first is None:
        raise InvalidRequestError(f"template: rootfs {path!r} is an empty archive")
    if _IMAGE.match(first.name.removeprefix("./")):
        raise InvalidRequestError(
            f"template: rootfs {path!r} is a saved image, made of layers; export a container",
            hint=_EXPORT,
        )
