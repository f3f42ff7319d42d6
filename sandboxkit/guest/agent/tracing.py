"""Children that have made their parent their debugger, which is what PTRACE_TRACEME does.

The kernel then tells the parent of every signal to such a child, as of something it has waited for,
and holds the child until it is answered. That is no end. We are nobody's debugger, so it is let go.
"""

from __future__ import annotations

import os
import signal

__all__ = ["wait_until_ended", "was_only_held"]

_PTRACE_DETACH = 17


def was_only_held(pid: int, status: int) -> bool:
    """Whether a child has not ended, and is now let go on as if nobody traced it.

    Args:
        pid: of a child.
        status: as of a waitpid without WUNTRACED.
    """
    if not os.WIFSTOPPED(status):
        return False
    import ctypes

    number = os.WSTOPSIG(status)
    if number == signal.SIGTRAP:  # what tells a debugger that a program begins; it would kill it
        number = 0
    # It may have been killed meanwhile; then its end is what comes next.
    ctypes.CDLL(None).ptrace(
        ctypes.c_long(_PTRACE_DETACH), ctypes.c_long(pid), None, ctypes.c_long(number)
    )
    return True


def wait_until_ended(pid: int) -> int:
    """The status, as of waitpid, with which a child ends."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not was_only_held(pid, status):
            return status
