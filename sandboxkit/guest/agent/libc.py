"""The C library, opened once: whatever is forked from a warm agent finds it open."""

from __future__ import annotations

import ctypes

__all__ = ["close_range", "prctl"]

CLOSE_RANGE_CLOEXEC = 4
_LAST = ctypes.c_uint(0xFFFFFFFF)

_libc = ctypes.CDLL(None)
_close_range = getattr(_libc, "close_range", None)

prctl = _libc.prctl
"""prctl(2). Unused arguments must be given."""


def close_range(first: int, flags: int = 0) -> bool:
    """Close all descriptors from this one on, or mark them; false if that is not to be had here."""
    return _close_range is not None and _close_range(first, _LAST, flags) == 0
