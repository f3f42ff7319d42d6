"""Attaching the host's directories where a sandbox shall see them.

Done in the sandbox's own root directory, whose content may come from a hostile snapshot: no link
is followed on the way to a mount point. Nor is anything made inside a directory of the host's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .syscalls import move_mount

__all__ = ["MountPointError", "attach"]

_LOOK = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class MountPointError(Exception):
    """There is no place for a mount; the message says why."""


def attach(mounts: Mapping[str, int]) -> None:
    """Attach detached mounts and close their descriptors.

    Args:
        mounts: by target, absolute and normal, outer ones first.

    Raises:
        MountPointError: a link, a file or a missing directory is in the way.
        OSError: the kernel refused.
    """
    attached: list[str] = []
    for target, tree in mounts.items():
        inside = any(target.startswith(outer + "/") for outer in attached)
        point = _mount_point(target, inside=inside)
        try:
            move_mount(tree, point)
        finally:
            os.close(point)
            os.close(tree)
        attached.append(target)


def _mount_point(target: str, *, inside: bool) -> int:
    """A descriptor of the directory, made with its parents unless `inside` another mount."""
    at = os.open("/", _LOOK)
    for name in target.strip("/").split("/"):
        try:
            try:
                below = os.open(name, _LOOK, dir_fd=at)
            except FileNotFoundError:
                if inside:
                    raise
                below = _make(name, at)
        except OSError as error:
            raise MountPointError(
                f"nothing can be mounted on {target!r}, since at {name!r}: {error.strerror}"
            ) from None
        finally:
            os.close(at)
        at = below
    return at


def _make(name: str, parent: int) -> int:
    """Make a directory that belongs to whom its parent belongs to."""
    os.mkdir(name, 0o755, dir_fd=parent)
    below = os.open(name, _LOOK, dir_fd=parent)
    owner = os.fstat(parent)
    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
    return below
