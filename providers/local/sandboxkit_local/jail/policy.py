"""Which system calls a sandbox may make: those named here as allowed, and no other.

What is allowed is what programs use. What is refused by name has no use inside, or has been the way
out of other jails, and fails with ``EPERM`` so that a program says so. Everything else, calls
that later kernels bring among it, fails with ``ENOSYS``, as on a kernel that does not know it,
for which programs have something else to try: for io_uring, and for clone3, whose flags are behind
a pointer that no filter can follow.

Limits may be read of any process and set of the caller alone, named as process 0: root inside could
otherwise take the descriptors of the first process. A caller that names itself by its number
(``resource.prlimit(os.getpid(), ...)``, ``prlimit --pid $$``) is refused too, since no filter knows
that number; ``setrlimit`` and ``ulimit`` are not.

No process may trace another, its own children included: a child that asks for it is traced by
its parent, which for a command is the agent. So debuggers do not work inside.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

__all__ = ["ALLOWED", "CONDITIONED", "POLICY", "REFUSED", "Condition", "Policy", "Rule"]


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
    """Calls that fail with an errno where all the conditions hold."""

    calls: tuple[str, ...]
    conditions: tuple[Condition, ...]
    errno: int = errno.EPERM


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy.

    Attributes:
        allowed: calls that are let through.
        conditioned: calls that are let through too unless a rule for them applies; the first does.
        refused: calls that fail with ``EPERM``.
    """

    allowed: frozenset[str]
    conditioned: tuple[Rule, ...]
    refused: frozenset[str]


_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag, CLONE_NEWTIME among them
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, its 32-bit uname, and "which?"
_UNIX, _INTERNET, _NETLINK = 1, (2, 10), 16  # what a network namespace encloses
_PROTOCOLS = (0, 1, 6, 17, 58, 255)  # the default, ICMP, TCP, UDP, ICMPv6, raw
_ROUTE = 0

# By what they are for; none of it needs a right that a sandbox does not have.
ALLOWED: dict[str, tuple[str, ...]] = {
    "files": (
        "access",
        "chmod",
        "chown",
        "close",
        "close_range",
        "copy_file_range",
        "creat",
        "dup",
        "dup2",
        "dup3",
        "faccessat",
        "faccessat2",
        "fadvise64",
        "fallocate",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "fchown",
        "fchownat",
        "fcntl",
        "fdatasync",
        "fgetxattr",
        "flistxattr",
        "flock",
        "fremovexattr",
        "fsetxattr",
        "fstat",
        "fstatfs",
        "fsync",
        "ftruncate",
        "futimesat",
        "getdents",
        "getdents64",
        "getxattr",
        "getxattrat",
        "lchown",
        "lgetxattr",
        "link",
        "linkat",
        "listxattr",
        "listxattrat",
        "llistxattr",
        "lremovexattr",
        "lseek",
        "lsetxattr",
        "lstat",
        "mkdir",
        "mkdirat",
        "mknod",
        "mknodat",
        "newfstatat",
        "open",
        "openat",
        "openat2",
        "pread64",
        "preadv",
        "preadv2",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "read",
        "readahead",
        "readlink",
        "readlinkat",
        "readv",
        "removexattr",
        "removexattrat",
        "rename",
        "renameat",
        "renameat2",
        "rmdir",
        "sendfile",
        "setxattr",
        "setxattrat",
        "splice",
        "stat",
        "statfs",
        "statx",
        "symlink",
        "symlinkat",
        "sync",
        "sync_file_range",
        "syncfs",
        "tee",
        "truncate",
        "umask",
        "unlink",
        "unlinkat",
        "utime",
        "utimensat",
        "utimes",
        "vmsplice",
        "write",
        "writev",
    ),
    "where a process is": (
        "chdir",
        "fchdir",
        "getcwd",
    ),
    "waiting": (
        "epoll_create",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "eventfd",
        "eventfd2",
        "inotify_add_watch",
        "inotify_init",
        "inotify_init1",
        "inotify_rm_watch",
        "io_cancel",
        "io_destroy",
        "io_getevents",
        "io_pgetevents",
        "io_setup",
        "io_submit",
        "pause",
        "pipe",
        "pipe2",
        "poll",
        "ppoll",
        "pselect6",
        "select",
        "signalfd",
        "signalfd4",
    ),
    "memory": (
        "brk",
        "cachestat",
        "madvise",
        "map_shadow_stack",
        "membarrier",
        "memfd_create",
        "mincore",
        "mlock",
        "mlock2",
        "mlockall",
        "mmap",
        "mprotect",
        "mremap",
        "mseal",
        "msync",
        "munlock",
        "munlockall",
        "munmap",
        "pkey_alloc",
        "pkey_free",
        "pkey_mprotect",
    ),
    "processes and threads": (
        "arch_prctl",
        "execve",
        "execveat",
        "exit",
        "exit_group",
        "fork",
        "futex",
        "futex_requeue",
        "futex_wait",
        "futex_waitv",
        "futex_wake",
        "get_robust_list",
        "getpgid",
        "getpgrp",
        "getpid",
        "getppid",
        "getsid",
        "gettid",
        "pidfd_open",
        "prctl",
        "restart_syscall",
        "rseq",
        "set_robust_list",
        "set_tid_address",
        "setpgid",
        "setsid",
        "uretprobe",
        "vfork",
        "wait4",
        "waitid",
    ),
    "signals": (
        "kill",
        "pidfd_send_signal",
        "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask",
        "rt_sigqueueinfo",
        "rt_sigreturn",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "rt_tgsigqueueinfo",
        "sigaltstack",
        "tgkill",
        "tkill",
    ),
    "users": (
        "capget",
        "capset",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getresgid",
        "getresuid",
        "getuid",
        "setfsgid",
        "setfsuid",
        "setgid",
        "setgroups",
        "setregid",
        "setresgid",
        "setresuid",
        "setreuid",
        "setuid",
    ),
    "scheduling and limits": (
        "getcpu",
        "getpriority",
        "getrlimit",
        "getrusage",
        "ioprio_get",
        "ioprio_set",
        "sched_get_priority_max",
        "sched_get_priority_min",
        "sched_getaffinity",
        "sched_getattr",
        "sched_getparam",
        "sched_getscheduler",
        "sched_rr_get_interval",
        "sched_setaffinity",
        "sched_setattr",
        "sched_setparam",
        "sched_setscheduler",
        "sched_yield",
        "setpriority",
        "setrlimit",
        "times",
    ),
    "time": (
        "alarm",
        "clock_getres",
        "clock_gettime",
        "clock_nanosleep",
        "getitimer",
        "gettimeofday",
        "nanosleep",
        "setitimer",
        "time",
        "timer_create",
        "timer_delete",
        "timer_getoverrun",
        "timer_gettime",
        "timer_settime",
        "timerfd_create",
        "timerfd_gettime",
        "timerfd_settime",
    ),
    "sockets": (
        "accept",
        "accept4",
        "bind",
        "connect",
        "getpeername",
        "getsockname",
        "getsockopt",
        "listen",
        "recvfrom",
        "recvmmsg",
        "recvmsg",
        "sendmmsg",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
    ),
    "queues, semaphores and shared memory": (
        "mq_getsetattr",
        "mq_notify",
        "mq_open",
        "mq_timedreceive",
        "mq_timedsend",
        "mq_unlink",
        "msgctl",
        "msgget",
        "msgrcv",
        "msgsnd",
        "semctl",
        "semget",
        "semop",
        "semtimedop",
        "shmat",
        "shmctl",
        "shmdt",
        "shmget",
    ),
    "sandboxes of their own": (
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
        "seccomp",
    ),
    "the system": (
        "getrandom",
        "sysinfo",
        "uname",
    ),
}

# Allowed too, unless these conditions hold.
CONDITIONED = (
    Rule(("clone",), (Condition(0, "any_bit", (_NEW_NAMESPACES,)),)),
    Rule(("ioctl",), (Condition(1, "one_of", (_TIOCSTI, _TIOCLINUX)),)),
    Rule(("personality",), (Condition(0, "none_of", _PERSONALITIES),)),
    # Another process, and a new limit.
    Rule(("prlimit64",), (Condition(0, "none_of", (0,)), Condition(2, "not_null"))),
    # Other families, such as vsock, reach past a network namespace.
    Rule(
        ("socket", "socketpair"),
        (Condition(0, "none_of", (_UNIX, *_INTERNET, _NETLINK)),),
        errno.EAFNOSUPPORT,
    ),
    # Asking for others would make the kernel load their modules: SCTP, L2TP, netfilter ...
    Rule(
        ("socket",),
        (Condition(0, "one_of", _INTERNET), Condition(2, "none_of", _PROTOCOLS)),
        errno.EPROTONOSUPPORT,
    ),
    Rule(
        ("socket",),
        (Condition(0, "one_of", (_NETLINK,)), Condition(2, "none_of", (_ROUTE,))),
        errno.EPROTONOSUPPORT,
    ),
)

# By what they could be used for.
REFUSED: dict[str, tuple[str, ...]] = {
    "other views of files": (
        "chroot",
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
    ),
    "files by handle, past every mount": (
        "name_to_handle_at",
        "open_by_handle_at",
    ),
    "namespaces": (
        "setns",
        "unshare",
    ),
    "other processes": (
        "kcmp",
        "pidfd_getfd",
        "process_madvise",
        "process_mrelease",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
    ),
    "keys, which no namespace encloses": (
        "add_key",
        "keyctl",
        "request_key",
    ),
    "interfaces that have been the way into many kernels": (
        "bpf",
        "fanotify_init",
        "fanotify_mark",
        "perf_event_open",
        "userfaultfd",
    ),
    "modules, and kernels": (
        "create_module",
        "delete_module",
        "finit_module",
        "init_module",
        "kexec_file_load",
        "kexec_load",
        "query_module",
        "reboot",
    ),
    "the clock and the name": (
        "adjtimex",
        "clock_adjtime",
        "clock_settime",
        "setdomainname",
        "sethostname",
        "settimeofday",
    ),
    "where memory is": (
        "get_mempolicy",
        "mbind",
        "migrate_pages",
        "move_pages",
        "set_mempolicy",
        "set_mempolicy_home_node",
    ),
    "the machine": (
        "acct",
        "ioperm",
        "iopl",
        "lookup_dcookie",
        "lsm_set_self_attr",
        "modify_ldt",
        "syslog",
        "vhangup",
    ),
}

POLICY = Policy(
    allowed=frozenset(call for calls in ALLOWED.values() for call in calls),
    conditioned=CONDITIONED,
    refused=frozenset(call for calls in REFUSED.values() for call in calls),
)
"""Of every sandbox."""
