"""Stopping everything in a sandbox at once, by a control group of version 2.

Version 1 can freeze too, but nothing that is frozen there can be killed: not by its parent's death
either, so a daemon that dies would leave its paused sandboxes behind. See the decision on pausing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from dataclasses import dataclass
from pathlib import Path

from . import cgroup

__all__ = ["Freezer", "Freezers", "detect"]

_ZYGOTES = "zygotes"


@dataclass(frozen=True, slots=True)
class Freezer:
    """One sandbox's group.

    Attributes:
        directory: where it is.
    """

    directory: Path

    def open(self) -> tuple[int, int]:
        """Descriptors: by which a process can be born in it, and by which one can join it."""
        born = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return born, os.open(self.directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    async def freeze(self, within: float) -> None:
        """Stop everything in it; returns when it stands still.

        Args:
            within: seconds that this may take.

        Raises:
            TimeoutError: something does not stop; `thaw` lets the rest go on.
            OSError: the group is gone.
        """
        self._write("1")
        await _until(self.directory, b"frozen 1", within)

    def thaw(self) -> None:
        """Let everything in it go on.

        Raises:
            OSError: the group is gone.
        """
        self._write("0")

    def kill(self) -> None:
        """Kill everything in it at once, where the kernel knows how (Linux 5.14), frozen or not."""
        with contextlib.suppress(OSError):
            fd = os.open(self.directory / "cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"1")
            finally:
                os.close(fd)

    def remove(self) -> bool:
        """Remove it; false if it is still in use."""
        return cgroup.remove(self.directory)

    async def outlive(self, within: float) -> bool:
        """Remove it as soon as the last process has left it, `within` seconds; false if not."""
        with contextlib.suppress(OSError):  # a timeout is one too
            await _until(self.directory, b"populated 0", within)
        return self.remove()

    def _write(self, text: str) -> None:
        (self.directory / "cgroup.freeze").write_text(text)


class Freezers:
    """Where groups to freeze can be made: below our own, so that what bounds us bounds them.

    They limit nothing themselves.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._base = parent
        self._owner = 0

    def prepare(self, name: str, journal: Path, owner: int) -> None:
        """Make the group that holds the others, noting it in the journal first.

        Args:
            name: what to call it.
            journal: for a successor to remove what we leave.
            owner: the zygotes' user, who must be allowed to let processes be born in them.
        """
        self._base, self._owner = self._parent / name, owner
        cgroup.note(journal, [self._base])
        for directory in (self._base, self._base / _ZYGOTES):
            directory.mkdir(exist_ok=True)
            self._give(directory)

    def adopt(self, pid: int) -> None:
        """Take in a zygote: only within a tree that is its user's may it place its children.

        Raises:
            OSError: the kernel refused.
        """
        (self._base / _ZYGOTES / "cgroup.procs").write_text(str(pid))

    def make(self, name: str) -> Freezer:
        """A group for a sandbox.

        Raises:
            OSError: the kernel refused.
        """
        freezer = Freezer(self._base / name)
        freezer.directory.mkdir()
        self._give(freezer.directory)
        return freezer

    async def close(self, within: float) -> None:
        """Remove all groups, once the last zygote has left them."""
        with contextlib.suppress(OSError):  # a timeout is one too; a successor removes them
            await _until(self._base, b"populated 0", within)
            for group in self._base.iterdir():
                if group.is_dir():
                    cgroup.remove(group)
        cgroup.remove(self._base)

    def _give(self, directory: Path) -> None:
        os.chown(directory / "cgroup.procs", self._owner, -1)


async def _until(group: Path, state: bytes, within: float) -> None:
    """Wait until the kernel says this of a group."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    events = os.open(group / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    # A change is an exceptional condition, which the event loop's own poll does not look for.
    poll = select.epoll()
    try:
        poll.register(events, select.EPOLLPRI)
        loop.add_reader(poll, changed.set)
        async with asyncio.timeout(within):
            while state not in os.pread(events, 4096, 0):
                await changed.wait()
                changed.clear()
    finally:
        loop.remove_reader(poll)
        poll.close()
        os.close(events)


def detect() -> Freezers | None:
    """Where this process may make groups to freeze; ``None`` if nowhere."""
    if os.getuid() != 0:
        return None
    own = cgroup.own_groups().get("")
    for point, root, kind, _ in cgroup.mounts():
        if kind == "cgroup2" and own is not None:
            relative = os.path.relpath(own, root)
            parent = point if relative.startswith("..") else point / relative
            with contextlib.suppress(OSError):
                if os.access(parent, os.W_OK):
                    return Freezers(parent)
    return None
