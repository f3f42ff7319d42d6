"""Keeping the guest's capabilities from all that it starts, root's commands included."""

from __future__ import annotations

import ctypes
import struct

__all__ = ["keep_to_ourselves"]

_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_CAP_SETPCAP = 8
# No capabilities by being uid 0, and none to be kept over a change of ids; for good.
_NOROOT = 1 << 0 | 1 << 1
_NO_KEEP_CAPS = 1 << 5
_NO_AMBIENT = 1 << 6 | 1 << 7
_CAPABILITY_VERSION = 0x20080522
_SETS = struct.Struct("=6I")
_HEADER = struct.Struct("=2I")


def keep_to_ourselves() -> None:
    """Let no program gain capabilities when it is run, and give up the right to change that.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_SECUREBITS, _NOROOT | _NO_KEEP_CAPS | _NO_AMBIENT, 0, 0, 0))
    _check(libc.prctl(_PR_CAPBSET_DROP, _CAP_SETPCAP, 0, 0, 0))
    header = ctypes.create_string_buffer(_HEADER.pack(_CAPABILITY_VERSION, 0))
    sets = ctypes.create_string_buffer(_SETS.size)
    _check(libc.capget(header, sets))
    left = ~(1 << _CAP_SETPCAP)
    effective, permitted, _, high_effective, high_permitted, _ = _SETS.unpack(
        sets.raw[: _SETS.size]
    )
    kept = _SETS.pack(effective & left, permitted & left, 0, high_effective, high_permitted, 0)
    _check(libc.capset(header, ctypes.create_string_buffer(kept)))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, "the guest cannot give up its rights")
