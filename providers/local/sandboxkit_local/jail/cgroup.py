"""Bounding memory, processes and processor time by control groups, where we may make them.

Version 1: below our own group, so that whatever bounds us bounds the sandboxes too. Version 2: at
the top of the tree, because a group with processes of its own, such as ours, cannot have limited
children.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Cgroup",
    "Cgroups",
    "Limits",
    "detect",
    "mounts",
    "note",
    "own_groups",
    "remove",
    "remove_leftovers",
]

_CONTROLLERS = ("cpu", "memory", "pids")
_PERIOD = 100_000  # microseconds


@dataclass(frozen=True, slots=True)
class Limits:
    """What to bound; ``None`` is unbounded.

    Attributes:
        cpu: cores; memory: bytes; pids: processes and threads.
    """

    cpu: float | None = None
    memory: int | None = None
    pids: int | None = None

    def controllers(self) -> tuple[str, ...]:
        """The controllers that are needed."""
        return tuple(name for name in _CONTROLLERS if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One sandbox's groups.

    Attributes:
        directories: one per hierarchy.
    """

    directories: tuple[Path, ...]

    def open(self) -> list[int]:
        """Descriptors through which a process joins by writing ``0``."""
        flags = os.O_WRONLY | os.O_CLOEXEC
        return [os.open(directory / "cgroup.procs", flags) for directory in self.directories]

    def oom_kills(self) -> int:
        """How many processes in it the kernel has killed for want of memory."""
        for directory in self.directories:
            for name in ("memory.oom_control", "memory.events"):
                with contextlib.suppress(OSError):
                    for line in (directory / name).read_text().splitlines():
                        if line.startswith("oom_kill "):
                            return int(line.split()[1])
        return 0

    def remove(self) -> bool:
        """Remove them; false if one is still in use."""
        removed = [remove(directory) for directory in self.directories]
        return all(removed)


class Cgroups:
    """Where groups can be made.

    Attributes:
        controllers: which of cpu, memory and pids can be bounded.
        unified: whether the groups are of version 2.
    """

    def __init__(self, parents: Mapping[str, Path], *, unified: bool) -> None:
        self._parents = parents
        self.unified = unified
        self._base: dict[str, Path] = {}
        self.controllers = frozenset(parents)

    def prepare(self, name: str, journal: Path) -> None:
        """Make the groups that hold the sandboxes' groups, noting them in the journal first."""
        bases = {controller: parent / name for controller, parent in self._parents.items()}
        note(journal, bases.values())
        for base in set(bases.values()):
            base.mkdir(exist_ok=True)
            if self.unified:
                wanted = " ".join(f"+{controller}" for controller in bases)
                (base / "cgroup.subtree_control").write_text(wanted)
        self._base = bases

    def make(self, name: str, limits: Limits) -> Cgroup:
        """A group for a sandbox, with its limits set.

        Raises:
            OSError: the kernel refused.
        """
        cgroup = Cgroup(tuple(dict.fromkeys(self._base[c] / name for c in limits.controllers())))
        try:
            for directory in cgroup.directories:
                directory.mkdir()
            for controller in limits.controllers():
                self._limit(self._base[controller] / name, controller, limits)
        except OSError:
            cgroup.remove()
            raise
        return cgroup

    def close(self) -> None:
        """Remove the groups that held the sandboxes' groups."""
        for base in set(self._base.values()):
            remove(base)

    def _limit(self, directory: Path, controller: str, limits: Limits) -> None:
        if controller == "cpu":
            assert limits.cpu is not None
            quota = max(1000, int(limits.cpu * _PERIOD))
            if self.unified:
                (directory / "cpu.max").write_text(f"{quota} {_PERIOD}")
            else:
                (directory / "cpu.cfs_period_us").write_text(str(_PERIOD))
                (directory / "cpu.cfs_quota_us").write_text(str(quota))
        elif controller == "memory":
            name = "memory.max" if self.unified else "memory.limit_in_bytes"
            (directory / name).write_text(str(limits.memory))
            swap, value = (
                ("memory.swap.max", "0")
                if self.unified
                else ("memory.memsw.limit_in_bytes", str(limits.memory))
            )
            if (directory / swap).exists():
                (directory / swap).write_text(value)
            elif not self.unified:  # a kernel that does not count swap: then none is used
                (directory / "memory.swappiness").write_text("0")
        else:
            (directory / "pids.max").write_text(str(limits.pids))


def detect() -> Cgroups | None:
    """Where this process may make groups; ``None`` if nowhere."""
    if os.getuid() != 0:
        return None
    own = own_groups()
    trees = mounts()
    parents: dict[str, Path] = {}
    for point, root, kind, options in trees:
        for controller in _CONTROLLERS:
            if kind == "cgroup" and controller in options and controller in own:
                relative = os.path.relpath(own[controller], root)
                parents[controller] = point if relative.startswith("..") else point / relative
    parents = {name: path for name, path in parents.items() if os.access(path, os.W_OK)}
    if parents:
        return Cgroups(parents, unified=False)
    for point, _, kind, _ in trees:
        if kind == "cgroup2" and os.access(point, os.W_OK):
            with contextlib.suppress(OSError):
                enabled = (point / "cgroup.subtree_control").read_text().split()
                parents = {name: point for name in _CONTROLLERS if name in enabled}
    return Cgroups(parents, unified=True) if parents else None


def note(journal: Path, bases: Iterable[Path]) -> None:
    """Add groups to those that a successor removes."""
    noted = {*_noted(journal), *map(str, bases)}
    journal.write_text(json.dumps(sorted(noted)), encoding="utf-8")


def _noted(journal: Path) -> list[str]:
    try:
        noted = json.loads(journal.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(base) for base in noted] if isinstance(noted, list) else []


def remove_leftovers(journal: Path) -> None:
    """Remove the groups that a killed predecessor noted; those still in use stay."""
    for base in _noted(journal):
        path = Path(base)
        if path.name.startswith("sandboxkit-"):
            with contextlib.suppress(OSError):
                for child in path.iterdir():
                    if child.is_dir():
                        remove(child)
            remove(path)


def remove(directory: Path) -> bool:
    """Remove a group; false if it is still in use."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def own_groups() -> dict[str, str]:
    """The group that this process is in, by controller; version 2's is that of ``""``."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, names, path = line.split(":", 2)
        groups.update(dict.fromkeys(names.split(","), path))
    return groups


def mounts() -> list[tuple[Path, str, str, list[str]]]:
    """Mount point, root, file system and its options, of every control group tree."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            fields = mount.split(" ")
            found.append((Path(fields[4]), fields[3], kind, options.split(",")))
    return found
