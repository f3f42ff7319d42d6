"""Which system calls a sandbox may make: all but these.

What stays allowed is what programs use. What is refused has no use inside, or has been the way out
of other jails: mounting, namespaces, tracing, keys, kernel modules, raw kernel interfaces.

Limits may be read of any process and set of the caller alone, named as process 0: root inside could
otherwise take the descriptors of the first process. A caller that names itself by its number
(``resource.prlimit(os.getpid(), ...)``, ``prlimit --pid $$``) is refused too, since no filter knows
that number; ``setrlimit`` and ``ulimit`` are not.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

__all__ = ["RULES", "Condition", "Rule"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one argument: of its low 32 bits, but for ``"not_null"``, which looks at all 64.

    Attributes:
        argument: its position, from 0.
        test: ``"any_bit"`` of the one value is set, or it is ``"one_of"`` or
            ``"none_of"`` the values, or it is ``"not_null"``.
        values: what it is compared with.
    """

    argument: int
    test: Literal["any_bit", "one_of", "none_of", "not_null"]
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that fail with an errno, always or where the conditions, one or two, hold."""

    calls: tuple[str, ...]
    errno: int = errno.EPERM
    condition: Condition | None = None
    also: Condition | None = None


_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag, CLONE_NEWTIME among them
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, its 32-bit uname, and "which?"
_FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink: what a network namespace encloses

RULES = (
    Rule(
        (
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "swapoff",
            "swapon",
            "umount2",
        )
    ),
    Rule(("setns", "unshare")),
    # Its flags are behind a pointer, which no filter can follow; callers fall back to clone.
    Rule(("clone3",), errno.ENOSYS),
    Rule(("clone",), condition=Condition(0, "any_bit", (_NEW_NAMESPACES,))),
    Rule(("kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace")),
    Rule(("add_key", "keyctl", "request_key")),
    Rule(("io_uring_enter", "io_uring_register", "io_uring_setup"), errno.ENOSYS),
    Rule(("bpf", "fanotify_init", "perf_event_open", "userfaultfd")),
    Rule(("name_to_handle_at", "open_by_handle_at")),
    Rule(
        (
            "create_module",
            "delete_module",
            "finit_module",
            "get_kernel_syms",
            "init_module",
            "kexec_file_load",
            "kexec_load",
            "query_module",
            "reboot",
        )
    ),
    Rule(
        (
            "adjtimex",
            "clock_adjtime",
            "clock_settime",
            "setdomainname",
            "sethostname",
            "settimeofday",
        )
    ),
    Rule(("mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node")),
    Rule(
        (
            "_sysctl",
            "acct",
            "ioperm",
            "iopl",
            "lookup_dcookie",
            "lsm_set_self_attr",
            "modify_ldt",
            "nfsservctl",
            "sysfs",
            "syslog",
            "uselib",
            "ustat",
            "vhangup",
        )
    ),
    Rule(("personality",), condition=Condition(0, "none_of", _PERSONALITIES)),
    Rule(
        ("prlimit64",),
        condition=Condition(0, "none_of", (0,)),  # another process,
        also=Condition(2, "not_null"),  # and a new limit
    ),
    Rule(("ioctl",), condition=Condition(1, "one_of", (_TIOCSTI, _TIOCLINUX))),
    # Others, such as vsock, reach past a network namespace.
    Rule(("socket", "socketpair"), errno.EAFNOSUPPORT, Condition(0, "none_of", _FAMILIES)),
)
