"""Which host ids stand behind a sandbox's ids.

Three kinds, and two steps in each. The *outer* map is the zygote's user namespace, seen from the
host; the *inner* map is a sandbox's, seen from the zygote's namespace. Id 0 of the outer namespace
is the zygote's own and is never in a sandbox, except where there is but one id.

==============  =============================  ==========================================
kind            outer                          inner
==============  =============================  ==========================================
``root``        0 → `ROOT_BASE`, 2**28 ids      0 → 65,536 x slot, a range per sandbox
``subordinate`` 0 → the user's range, 65,536   0 → 1, the others, shared by all sandboxes
``single``      0 → the user                   1000 → 0
==============  =============================  ==========================================

An ordinary user with subordinate ids has the own id in the outer map too, as `OWN`. It stands
behind an id of those sandboxes alone that are shown directories of that user: nobody but the
owner could read or write there.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = [
    "OWN",
    "RANGE",
    "ROOT_BASE",
    "SLOTS",
    "USER_ID",
    "IdMap",
    "SandboxIds",
    "choose",
    "is_host_root",
    "subordinate_range",
]

ROOT_BASE = 0x70000000
"""Host id; up to 0x7FFFFFFF nothing else is known to give ids away (systemd's ranges end here)."""

RANGE = 65_536
SLOTS = 4_095
"""Sandboxes at a time, as root. Slot 0 is the zygotes'."""

USER_ID = 1000
"""The ordinary user inside a sandbox."""

TTY = 5
"""The group of terminals inside a sandbox."""

OWN = RANGE
"""The user's own id, in the outer namespace of those who also have subordinate ones."""

Kind = Literal["root", "subordinate", "single"]
Extent = tuple[int, int, int]
"""First id inside, first id outside, count."""


@dataclass(frozen=True)
class SandboxIds:
    """The ids of one sandbox, as numbers of the outer namespace.

    Attributes:
        root: who owns its files: its id 0, or where it has but one, that.
        user: its ordinary user.
        tty: the group of its terminals, or ``None`` if it has no other group.
        inner: the lines for its ``uid_map`` and ``gid_map``.
    """

    root: int
    user: int
    tty: int | None
    inner: str


@dataclass(frozen=True)
class IdMap:
    """The ids of one daemon's sandboxes.

    Attributes:
        kind: see the table above.
        uids: the outer map of user ids; gids: of group ids.
        own: the user's own id and group, where they are mapped as `OWN`.
    """

    kind: Kind
    uids: Extent
    gids: Extent
    own: tuple[int, int] | None = None

    @property
    def slots(self) -> int:
        """How many sandboxes can have ranges of their own; 0 if they share one."""
        return SLOTS if self.kind == "root" else 0

    @property
    def root_id(self) -> int:
        """Who the agent is, inside."""
        return USER_ID if self.kind == "single" else 0

    def outer(self) -> tuple[list[Extent], list[Extent]]:
        """The outer maps, of user ids and of group ids."""
        if self.own is None:
            return [self.uids], [self.gids]
        user, group = self.own
        return [self.uids, (OWN, user, 1)], [self.gids, (OWN, group, 1)]

    def sandbox(self, slot: int, own: int | None = None) -> SandboxIds:
        """The ids of a sandbox.

        Args:
            slot: which range.
            own: the id inside that the user's own id shall stand behind, where that is mapped.
        """
        if self.kind == "single":
            return SandboxIds(0, 0, None, f"{USER_ID} 0 1")
        first = RANGE * slot if self.kind == "root" else 1
        count = RANGE if self.kind == "root" else min(self.uids[2], self.gids[2]) - 1
        if own is None or self.own is None:
            return SandboxIds(first, first + USER_ID, first + TTY, f"0 {first} {count}")
        extents = [(0, first, own), (own, OWN, 1), (own + 1, first + own + 1, count - own - 1)]
        lines = [f"{inside} {outside} {size}" for inside, outside, size in extents if size]
        root, user, tty = (OWN if id_ == own else first + id_ for id_ in (0, USER_ID, TTY))
        return SandboxIds(root, user, tty, "\n".join(lines))

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def load(cls, fields: dict[str, Any]) -> IdMap:
        """From JSON."""
        first, second, third = fields["uids"]
        fourth, fifth, sixth = fields["gids"]
        own = None if fields["own"] is None else (fields["own"][0], fields["own"][1])
        return cls(fields["kind"], (first, second, third), (fourth, fifth, sixth), own)


def choose() -> IdMap:
    """The best kind this user can have."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        everything = (0, ROOT_BASE, RANGE * (SLOTS + 1))
        if _mapped(ROOT_BASE, everything[2]):
            return IdMap("root", everything, everything)
        if _mapped(0, RANGE):  # root of a container; its ids are all there is
            rest = (0, 1, RANGE - 1)
            return IdMap("subordinate", rest, rest)
    elif shutil.which("newuidmap") and shutil.which("newgidmap"):
        uids, gids = subordinate_range("/etc/subuid"), subordinate_range("/etc/subgid")
        if uids and gids:
            return IdMap("subordinate", (0, *uids), (0, *gids), (user, group))
    return IdMap("single", (0, user, 1), (0, group, 1))


def subordinate_range(path: str) -> tuple[int, int] | None:
    """The first of this user's ranges in a file like ``/etc/subuid`` that holds 65,536 ids.

    Returns:
        The first id and the count used, or ``None`` if there is none.
    """
    names = {str(os.getuid())}
    with contextlib.suppress(KeyError):  # a uid without a name may have a range all the same
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    for name, start, count in _entries(path):
        if name in names and count >= RANGE and start > 0:
            return start, RANGE
    return None


def _mapped(first: int, count: int) -> bool:
    """Whether our user namespace has these ids."""
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/self/{name}", encoding="ascii") as file:
            extents = [[int(number) for number in line.split()] for line in file]
        if not any(start <= first and first + count <= start + size for start, _, size in extents):
            return False
    return True


def is_host_root() -> bool:
    """Whether our one id is the host's root, which no sandbox may be."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        extents = [[int(number) for number in line.split()] for line in file]
    return any(
        start <= os.getuid() < start + size and outside + os.getuid() - start == 0
        for start, outside, size in extents
    )


def _entries(path: str) -> Sequence[tuple[str, int, int]]:
    entries = []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                parts = line.strip().split(":")
                if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
                    entries.append((parts[0], int(parts[1]), int(parts[2])))
    except FileNotFoundError:
        return []
    return entries
