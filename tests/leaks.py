"""What sandboxes of the local provider leave behind, if they do.

A census is taken before and after; what is in the second and not in the first has leaked. Every
process of a daemon, down to the first process of each sandbox, carries the daemon's digest in its
title, and no sandbox's process outlives its first one. So a census of one state directory is not
disturbed by other daemons on the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from sandboxkit_local.paths import locate

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class Census:
    """What there is of one daemon, or of all.

    Attributes:
        processes: pid, start time in ticks, title.
        namespaces: kind and inode of those that these processes are in and we are not.
        mounts: lines of our own mount table.
        cgroups: directories of control groups.
        files: what is in the state directory.
    """

    processes: frozenset[tuple[int, int, str]]
    namespaces: frozenset[tuple[str, int]]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    files: frozenset[str]

    @classmethod
    def take(cls, state: Path | None = None) -> Census:
        """Count now.

        Args:
            state: the daemon's state directory; ``None`` counts every daemon's, and no files.
        """
        digest = locate(state).digest if state is not None else ""
        processes = frozenset(_processes(digest))
        return cls(
            processes,
            frozenset(_namespaces(pid for pid, _, _ in processes)),
            frozenset(_mounts()),
            frozenset(_cgroups(f"sandboxkit-{digest}")),
            frozenset(str(path) for path in state.rglob("*")) if state is not None else frozenset(),
        )

    def since(self, before: Census) -> dict[str, list[object]]:
        """What was not there before, by kind; empty if there is nothing."""
        new = {
            field.name: sorted(getattr(self, field.name) - getattr(before, field.name))
            for field in fields(self)
        }
        return {kind: found for kind, found in new.items() if found}


def _processes(digest: str) -> Iterator[tuple[int, int, str]]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            arguments = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            ticks = int(Path(entry.path, "stat").read_text().rpartition(")")[2].split()[19])
        except (FileNotFoundError, ProcessLookupError):
            continue
        title = next((a.decode() for a in arguments if a.startswith(b"sandboxkit-")), "")
        if title and digest in title:
            yield int(entry.name), ticks, title


def _namespaces(pids: Iterator[int]) -> Iterator[tuple[str, int]]:
    ours = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in NAMESPACES}
    for pid in pids:
        for kind in NAMESPACES:
            try:
                inode = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if inode != ours[kind]:
                yield kind, inode


def _mounts() -> Iterator[str]:
    """Mounts, but for those that come and go without us.

    An engine has its own; and tests that run beside these mount in their own directories, where
    that the unmounting succeeds is a part of the test.
    """
    others = ("/var/lib/docker", "/run/docker", "/var/run/docker")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if not place.startswith(others) and "/pytest-of-" not in place:
            yield line


def _cgroups(prefix: str) -> Iterator[str]:
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.startswith(prefix) or f"/{prefix}" in directory:
                yield os.path.join(directory, name)
