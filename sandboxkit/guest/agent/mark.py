"""The mark by which a tree is known: a resource limit that children inherit and cannot raise.

It is the limit on the time of real-time scheduled processes, in microseconds. It means nothing to
others, and even to those it is tens of thousands of years. The agent lowers its own by one before
each tree it starts, so that every tree has another; see docs/decisions/0013-a-limit-as-mark.md.
"""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Iterator, Optional

from .errors import NO_DESCRIPTORS

__all__ = ["marking", "read_mark"]

_LIMIT = 15  # RLIMIT_RTTIME, which some builds of Python do not name
_FIELD = b"Max realtime timeout"
_HIGHEST = 1 << 60
# Agents that see one another's processes, or run below one another, begin far apart.
_SPREAD_BYTES = 6


@contextlib.contextmanager
def marking() -> Iterator[Optional[int]]:
    """Gives the mark of what is started within; ``None`` where there can be none."""
    mark = _lower()
    try:
        yield mark
    finally:
        # What the agent starts for itself belongs to no tree.
        _lower()


def read_mark(pid: int) -> Optional[int]:
    """The mark of a process, if it has one. Everybody may read it.

    Raises:
        OSError: no descriptor is left to look.
    """
    try:
        fd = os.open(f"/proc/{pid}/limits", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            raise
        return None
    try:
        content = os.read(fd, 8192)
    except OSError:
        return None
    finally:
        os.close(fd)
    _, found, rest = content.partition(_FIELD)
    hard = rest.split(None, 2)[1:2] if found else []
    return int(hard[0]) if hard and hard[0].isdigit() else None


# The agent's own limit, as it has set it.
_own = 0


def _lower() -> Optional[int]:
    global _own
    try:
        hard = resource.getrlimit(_LIMIT)[1]
        mark = hard - 1 if hard == _own else _beginning(hard)
        if mark <= 0:
            return None
        resource.setrlimit(_LIMIT, (mark, mark))
    except (OSError, ValueError, OverflowError):
        return None
    _own = mark
    return mark


def _beginning(inherited: int) -> int:
    """Below what was inherited, and where no other agent is likely to be."""
    highest = _HIGHEST
    if inherited != resource.RLIM_INFINITY:
        highest = min(highest, inherited - 1)
    spread = int.from_bytes(os.urandom(_SPREAD_BYTES), "big")
    return highest - spread if highest > spread << 1 else highest
