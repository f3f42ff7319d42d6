"""A second wall around the sandbox's files, where the kernel has Landlock (Linux 5.13).

The mount namespace decides what paths there are, so there is nothing for Landlock to add to that.
What it adds is about descriptors: a directory of the host that some mistake left open would be a
way past every mount, and with this nothing can be opened through it. Everything below the
sandbox's own root stays as it was.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from .syscalls import landlock_add_rule, landlock_create_ruleset, landlock_restrict_self

__all__ = ["confine", "version"]

_FIRST_VERSION = (1 << 13) - 1
"""The rights over files that version 1 knows: execute, write, read, list, remove and make."""

_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15  # since versions 2, 3 and 5


class _Ruleset(ctypes.Structure):
    _fields_ = [("handled_access_fs", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """The kernel's version of the interface; 0 if it has none, or has it turned off."""
    try:
        return landlock_create_ruleset(None, 0, query=True)
    except OSError:
        return 0


def confine(roots: Iterable[int], known: int) -> None:
    """Let this process and all its descendants open only what is below some directories, for good.

    Version 1 is left alone: it would also forbid to rename from one directory to another.

    Args:
        roots: descriptors of the directories, below which everything stays allowed.
        known: the `version`; nothing is done below 2.

    Raises:
        OSError: the kernel refused.
    """
    if known < 2:
        return
    rights = _FIRST_VERSION | _REFER
    rights |= _TRUNCATE if known >= 3 else 0
    rights |= _IOCTL if known >= 5 else 0
    ruleset = landlock_create_ruleset(ctypes.byref(_Ruleset(rights)), ctypes.sizeof(_Ruleset))
    try:
        for root in roots:
            landlock_add_rule(ruleset, ctypes.byref(_Beneath(rights, root)))
        landlock_restrict_self(ruleset)
    finally:
        os.close(ruleset)
