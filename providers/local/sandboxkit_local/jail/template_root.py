"""The root directory that a zygote sees: the template's files at the paths sandboxes have them.

Sandboxes are made from it, so nothing else of the host can be bound into them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .skeleton import Skeleton
from .syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    pivot_here,
    set_mount_attributes,
)

__all__ = ["INTERNAL", "Sources", "build", "open_sources"]

INTERNAL = "/.sandboxkit"
"""Skeletons and mount points; no sandbox sees it."""

_BUILD_AT = "/tmp"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


@dataclass(frozen=True)
class Sources:
    """Descriptors of what will be bound, by the path where it will be."""

    trees: dict[str, int]
    devices: dict[str, int]


def open_sources(paths: Mapping[str, str]) -> Sources:
    """Open the template's directories, with the rights of the user who started us.

    `paths` says where each will be, and where it is.

    To be called in the new mount namespace, whose mounts alone can be bound there, and before the
    change of ids, after which a directory below a private home could not be reached any more.
    """
    return Sources(
        {
            path: os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            for path, source in paths.items()
        },
        {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in _DEVICES},
    )


def build(sources: Sources, skeleton: Skeleton) -> None:
    """Mount it all, as root of the outer namespaces, and make it the root directory."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", _BUILD_AT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1g")
    skeleton.make(_BUILD_AT, 0, user=0)
    of_dev = {path: fd for path, fd in sources.trees.items() if path.startswith("/dev/")}
    for path, fd in sources.trees.items():
        if path not in of_dev:
            _bind(fd, path)
    _devices(sources.devices, of_dev)
    mount("proc", _BUILD_AT + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in ("", "/skeletons", "/copies", "/layer", "/root", "/empty", "/foreign", "/own"):
        os.mkdir(_BUILD_AT + INTERNAL + name, 0o755)
    skeleton.make_copies(_BUILD_AT)
    skeleton.make_copies(_BUILD_AT + INTERNAL + "/copies")
    # Sandboxes that share the zygote's id could write to it, and to each other through it.
    empty = f"{_BUILD_AT}{INTERNAL}/empty"
    mount(empty, empty, None, MS_BIND)
    set_mount_attributes(
        empty, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    )
    os.chdir(_BUILD_AT)
    pivot_here()


def _bind(fd: int, path: str) -> None:
    mount(f"/proc/self/fd/{fd}", _BUILD_AT + path, None, MS_BIND | MS_REC)
    set_mount_attributes(_BUILD_AT + path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    os.close(fd)


def _devices(devices: dict[str, int], trees: dict[str, int]) -> None:
    directory = _BUILD_AT + "/dev"
    mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k")
    for name, fd in devices.items():
        os.close(os.open(f"{directory}/{name}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        mount(f"/proc/self/fd/{fd}", f"{directory}/{name}", None, MS_BIND)
        os.close(fd)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"{directory}/{name}")
    for name in ("mqueue", "pts", "shm"):
        os.mkdir(f"{directory}/{name}", 0o755)
    for path, fd in trees.items():
        os.makedirs(_BUILD_AT + path)
        _bind(fd, path)
    set_mount_attributes(
        directory, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, recursive=False
    )
