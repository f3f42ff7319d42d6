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
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["ROOT_BASE", "SLOTS", "USER_ID", "IdMap", "choose", "is_host_root", "subordinate_range"]

ROOT_BASE = 0x70000000
"""Host id; up to 0x7FFFFFFF nothing else is known to give ids away (systemd's ranges end here)."""

RANGE = 65_536
SLOTS = 4_095
"""Sandboxes at a time, as root. Slot 0 is the zygotes'."""

USER_ID = 1000
"""The ordinary user inside a sandbox."""

Kind = Literal["root", "subordinate", "single"]
Extent = tuple[int, int, int]
"""First id inside, first id outside, count."""


@dataclass(frozen=True)
class IdMap:
    """The ids of one daemon's sandboxes.

    Attributes:
        kind: see the table above.
        uids: the outer map of user ids; gids: of group ids.
    """

    kind: Kind
    uids: Extent
    gids: Extent

    @property
    def slots(self) -> int:
        """How many sandboxes can have ranges of their own; 0 if they share one."""
        return SLOTS if self.kind == "root" else 0

    @property
    def root_id(self) -> int:
        """Who the agent is, inside."""
        return USER_ID if self.kind == "single" else 0

    def owner(self, slot: int) -> int:
        """The sandbox's first id, in the outer namespace: who owns its files."""
        return {"root": RANGE * slot, "subordinate": 1, "single": 0}[self.kind]

    def inner(self, slot: int) -> str:
        """The line for a sandbox's ``uid_map`` and ``gid_map``."""
        if self.kind == "single":
            return f"{USER_ID} 0 1"
        count = RANGE if self.kind == "root" else min(self.uids[2], self.gids[2]) - 1
        return f"0 {self.owner(slot)} {count}"

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def load(cls, fields: dict[str, Any]) -> IdMap:
        """From JSON."""
        first, second, third = fields["uids"]
        fourth, fifth, sixth = fields["gids"]
        return cls(fields["kind"], (first, second, third), (fourth, fifth, sixth))


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
            return IdMap("subordinate", (0, *uids), (0, *gids))
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
