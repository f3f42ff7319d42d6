"""Giving up every right that the agent does not need, for good.

Called inside the sandbox's user namespace, which owns no other namespace: even what is kept here
reaches nothing but the sandbox's own processes and files.
"""

from __future__ import annotations

import os

from .syscalls import capset, prctl, set_dumpable

__all__ = ["AGENT_CAPABILITIES", "bound_watches", "forbid_user_namespaces", "seal"]

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_PTRACE = 19

AGENT_CAPABILITIES = frozenset(
    {
        CAP_CHOWN,
        CAP_DAC_OVERRIDE,
        CAP_FOWNER,
        CAP_FSETID,
        CAP_KILL,
        CAP_SETGID,
        CAP_SETUID,
        CAP_SYS_PTRACE,  # to read the environment of the sandbox's processes
    }
)
"""To act as any user of the sandbox, on its files and processes. A child gets none of them."""

_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_SECBIT_NOROOT = 1 << 0
_SECBIT_NOROOT_LOCKED = 1 << 1
_SECBIT_KEEP_CAPS_LOCKED = 1 << 5
_SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6
_SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7


_WATCHES = {"max_inotify_instances": 32, "max_inotify_watches": 16_384}
"""What this sandbox may have of what the kernel counts for all sandboxes and the user who runs
them together, by default 128 instances: one must not take them from the others."""


def forbid_user_namespaces(proc_sys: int) -> None:
    """Let nobody in this user namespace make another; the count cannot be raised again.

    Args:
        proc_sys: a directory descriptor of ``/proc/sys`` on a mount that is not read-only.
    """
    _bound("max_user_namespaces", 0, proc_sys)


def bound_watches(proc_sys: int) -> None:
    """Leave the other sandboxes their share of what watches files.

    Args:
        proc_sys: as above.
    """
    for name, most in _WATCHES.items():
        _bound(name, most, proc_sys)


def _bound(name: str, most: int, proc_sys: int) -> None:
    fd = os.open(f"user/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_sys)
    try:
        os.write(fd, str(most).encode())
    finally:
        os.close(fd)


def seal(last_capability: int, *, kept: frozenset[int] = AGENT_CAPABILITIES) -> None:
    """Drop capabilities from every set, gain none by running programs, hide from other processes.

    Args:
        last_capability: the kernel's highest, from ``/proc/sys/kernel/cap_last_cap``.
        kept: what remains permitted and effective.
    """
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    prctl(
        _PR_SET_SECUREBITS,
        _SECBIT_NOROOT
        | _SECBIT_NOROOT_LOCKED
        | _SECBIT_KEEP_CAPS_LOCKED
        | _SECBIT_NO_CAP_AMBIENT_RAISE
        | _SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
    )
    for capability in range(last_capability + 1):
        if capability not in kept:
            prctl(_PR_CAPBSET_DROP, capability)
    capset(sum(1 << capability for capability in kept))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    set_dumpable(False)
