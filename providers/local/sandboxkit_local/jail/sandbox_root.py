"""The root directory of one sandbox, mounted by its first process with the zygote's rights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import mount_points
from .idmap import SandboxIds
from .syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    mount,
    pivot_here,
    set_mount_attributes,
)
from .template_root import INTERNAL

__all__ = ["Masks", "Mounted", "enter"]

_LAYER = INTERNAL + "/layer"
_ROOT = INTERNAL + "/root"
_BYTES_PER_INODE = 16_384
_SHARED_MEMORY = 256 << 20
_TERMINALS = 256  # the kernel has 3,072 for all but the host's own

_HIDDEN_FILES = (
    "cmdline",  # what the host was booted with
    "interrupts",  # tells how others type
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "latency_stats",
    "modules",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
)
_HIDDEN_DIRECTORIES = ("acpi", "asound", "scsi")
_READ_ONLY = ("bus", "fs", "irq", "sys")


@dataclass(frozen=True)
class Masks:
    """Which of the paths below ``/proc`` that a sandbox must not see or write exist here."""

    files: tuple[str, ...]
    directories: tuple[str, ...]
    read_only: tuple[str, ...]

    @classmethod
    def look(cls) -> Masks:
        """As found below ``/proc`` now."""
        return cls(
            *(
                tuple(name for name in names if os.path.exists(f"/proc/{name}"))
                for names in (_HIDDEN_FILES, _HIDDEN_DIRECTORIES, _READ_ONLY)
            )
        )


@dataclass(frozen=True)
class Mounted:
    """What is still needed once the root is the sandbox's.

    Attributes:
        upper: a descriptor of the directory that holds all the sandbox's changes.
        proc_sys: a descriptor of ``/proc/sys`` as it is below the read-only mount.
    """

    upper: int
    proc_sys: int


def enter(
    *,
    lower: str,
    binds: Sequence[str],
    masks: Masks,
    ids: SandboxIds,
    disk: int,
    fill: Callable[[int], None] | None,
    mounts: Mapping[str, int],
) -> Mounted:
    """Mount everything and pivot into it.

    Args:
        lower: the overlay's lower directories, the uppermost first, between colons.
        binds: the template's directories.
        masks: what to hide below ``/proc``.
        ids: the sandbox's, in the namespace we are still in.
        disk: bytes that may be written.
        fill: puts a snapshot's files into the upper directory, given its descriptor, before it is
            mounted.
        mounts: detached mounts of the host's directories by target, outer ones first; closed.

    Raises:
        MountPointError: there is no place for one of `mounts`.
    """
    inodes = max(16_384, disk // _BYTES_PER_INODE)
    options = f"size={disk},nr_inodes={inodes},mode=0700"
    mount("tmpfs", _LAYER, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name in ("upper", "work"):
        os.mkdir(f"{_LAYER}/{name}", 0o755)
    os.chown(f"{_LAYER}/upper", ids.root, ids.root)
    upper = os.open(f"{_LAYER}/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if fill is not None:
        fill(upper)
    layers = f"lowerdir={lower},upperdir={_LAYER}/upper,workdir={_LAYER}/work,userxattr"
    mount("overlay", _ROOT, "overlay", MS_NOSUID | MS_NODEV, layers)
    for path in (*binds, "/dev"):
        mount(path, _ROOT + path, None, MS_BIND | MS_REC)
    _devices(disk, ids)
    proc_sys = _proc(masks)
    os.chdir(_ROOT)
    pivot_here()
    mount_points.attach(mounts)
    return Mounted(upper, proc_sys)


def _devices(disk: int, ids: SandboxIds) -> None:
    group = "" if ids.tty is None else f",gid={ids.tty}"
    mount(
        "devpts",
        _ROOT + "/dev/pts",
        "devpts",
        MS_NOSUID | MS_NOEXEC,
        f"newinstance,ptmxmode=0666,mode=0620,max={_TERMINALS}{group}",
    )
    mount("mqueue", _ROOT + "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    size = min(disk // 2, _SHARED_MEMORY)
    options = f"size={size},nr_inodes=16384,mode=1777,uid={ids.root},gid={ids.root}"
    mount("tmpfs", _ROOT + "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)


def _proc(masks: Masks) -> int:
    proc = _ROOT + "/proc"
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    proc_sys = os.open(proc + "/sys", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in masks.files:
        mount("/dev/null", f"{proc}/{name}", None, MS_BIND)
    for name in masks.directories:
        mount(INTERNAL + "/empty", f"{proc}/{name}", None, MS_BIND)
    hardened = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    for name in masks.read_only:
        mount(f"{proc}/{name}", f"{proc}/{name}", None, MS_BIND | MS_REC)
        set_mount_attributes(f"{proc}/{name}", hardened)
    return proc_sys
