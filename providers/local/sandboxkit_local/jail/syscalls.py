"""The system calls that Python has no function for. Each raises `OSError` naming itself."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = [
    "AT_RECURSIVE",
    "CLONE_NEWCGROUP",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MOUNT_ATTR_IDMAP",
    "MOUNT_ATTR_NODEV",
    "MOUNT_ATTR_NOEXEC",
    "MOUNT_ATTR_NOSUID",
    "MOUNT_ATTR_RDONLY",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "capset",
    "die_with_parent",
    "fork_into",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "mount",
    "move_mount",
    "open_tree",
    "pivot_here",
    "prctl",
    "seccomp_filter",
    "set_dumpable",
    "set_mount_attributes",
    "set_tree_attributes",
    "setns",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR_IDMAP = 0x100000
AT_RECURSIVE = 0x8000
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 0x4, 0x40
_AT_FDCWD = -100
_MNT_DETACH = 2

_CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x00200000, 0x01000000
_CLONE_INTO_CGROUP = 0x200000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_GET_TID_ADDRESS = 40
_SIGCHLD = 17
_SIGKILL = 9

# Alike on every architecture since Linux 5.1, but for those older calls.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_CLONE3 = 435
_SYS_MOUNT_SETATTR = 442
_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_ADD_RULE = 445
_SYS_LANDLOCK_RESTRICT_SELF = 446
_SYS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "seccomp": 317},
    "aarch64": {"pivot_root": 41, "capset": 91, "seccomp": 277},
}.get(platform.machine(), {})

# Keeps the GIL: a signal handler or another thread must not run amid these.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    ]


class _CloneArguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(name: str, *arguments: object) -> int:
    if name not in _SYS:
        raise OSError(38, f"{name}: unknown on {platform.machine()}")
    return _check(int(_libc.syscall(ctypes.c_long(_SYS[name]), *arguments)), name)


def unshare(flags: int) -> None:
    """Move into new namespaces (for ``CLONE_NEWPID``: future children)."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(fd: int, kind: int) -> None:
    """Move into the namespace behind a descriptor (for ``CLONE_NEWPID``: future children)."""
    _check(_libc.setns(fd, kind), "setns")


def fork_into(group: int) -> int:
    """`os.fork` for a process with one thread, whose child is born in a control group (version 2).

    To join one instead takes the kernel a grace period, about 15 ms, in which nobody can fork.
    """
    flags, thread = _CLONE_INTO_CGROUP, ctypes.c_uint64()
    if _libc.prctl(PR_GET_TID_ADDRESS, ctypes.addressof(thread), 0, 0, 0) == 0:
        # As the C library's fork does: it keeps the thread's number there.
        flags |= _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
    wanted = _CloneArguments(
        flags=flags, child_tid=thread.value, exit_signal=_SIGCHLD, cgroup=group
    )
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = _libc.syscall(
        ctypes.c_long(_SYS_CLONE3), ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted))
    )
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return _check(int(pid), "clone3")


def mount(
    source: str | None, target: str, filesystem: str | None, flags: int = 0, data: str | None = None
) -> None:
    """Mount, bind or remount; see the manual page of the same name."""
    encoded = [os.fsencode(text) if text is not None else None for text in (source, filesystem)]
    result = _libc.mount(
        encoded[0], os.fsencode(target), encoded[1], flags, data.encode() if data else None
    )
    _check(result, f"mount {filesystem or 'bind'} on {target}")


def set_mount_attributes(path: str, attributes: int, *, recursive: bool = True) -> None:
    """Add attributes such as read-only to a mount and, by default, all mounts below it."""
    wanted = _MountAttributes(set=attributes)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(int(result), f"mount_setattr {path}")


def set_tree_attributes(
    tree: int, attributes: int, *, id_map: int | None = None, recursive: bool = True
) -> None:
    """Add attributes to a detached mount and all below it, and cut it off from its peers.

    Args:
        tree: its descriptor.
        attributes: such as read-only.
        id_map: a user namespace; an owner that is an id inside it is seen as that id outside.
        recursive: whether what is mounted below gets them too.
    """
    wanted = _MountAttributes(set=attributes, propagation=MS_PRIVATE)
    if id_map is not None:
        wanted.set |= MOUNT_ATTR_IDMAP
        wanted.userns = id_map
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(tree),
        ctypes.c_char_p(b""),
        ctypes.c_uint(_AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(int(result), "mount_setattr")


def open_tree(directory: int) -> int:
    """A descriptor of a copy, attached nowhere, of a directory's mount and all mounts below it.

    It can be attached in any mount namespace, and is gone with its last descriptor.
    """
    flags = _AT_EMPTY_PATH | AT_RECURSIVE | _OPEN_TREE_CLONE | os.O_CLOEXEC
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPEN_TREE),
        ctypes.c_int(directory),
        ctypes.c_char_p(b""),
        ctypes.c_uint(flags),
    )
    return _check(int(result), "open_tree")


def move_mount(tree: int, directory: int) -> None:
    """Attach a detached mount at a directory, given its descriptor."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOVE_MOUNT),
        ctypes.c_int(tree),
        ctypes.c_char_p(b""),
        ctypes.c_int(directory),
        ctypes.c_char_p(b""),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH),
    )
    _check(int(result), "move_mount")


def pivot_here() -> None:
    """Make the working directory, a mount point, the root, and let go of the old root."""
    _syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def prctl(option: int, first: int = 0, second: int = 0) -> int:
    """Control this process: an option and up to two arguments."""
    return _check(_libc.prctl(option, first, second, 0, 0), f"prctl({option})")


def die_with_parent() -> None:
    """Be killed when the thread that forked us ends. Forgotten by any change of ids: call again."""
    prctl(PR_SET_PDEATHSIG, _SIGKILL)


def set_dumpable(yes: bool) -> None:
    """Let other processes of the same user trace us and read what is private in ``/proc``, or not.

    A change of ids turns it off.
    """
    prctl(PR_SET_DUMPABLE, int(yes))


def capset(kept: int) -> None:
    """Keep only the capabilities in the mask `kept`, permitted and effective, none inheritable."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    _syscall("capset", ctypes.byref(header), ctypes.byref(data))


def seccomp_filter(program: ctypes.Structure) -> None:
    """Install a filter for all threads; needs no-new-privileges."""
    mode_filter, sync_threads = 1, 1
    result = _syscall(
        "seccomp", ctypes.c_uint(mode_filter), ctypes.c_uint(sync_threads), ctypes.byref(program)
    )
    if result > 0:
        raise OSError(3, f"seccomp: thread {result} did not take the filter")


def landlock_create_ruleset(attributes: object, size: int, *, query: bool = False) -> int:
    """A descriptor of a new set of rules; with `query`, the version of the interface instead."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_LANDLOCK_CREATE_RULESET),
        attributes,
        ctypes.c_size_t(size),
        ctypes.c_uint32(int(query)),
    )
    return _check(int(result), "landlock_create_ruleset")


def landlock_add_rule(ruleset: int, beneath: object) -> None:
    """Allow something below a directory; `beneath` says what and which."""
    path_beneath = 1
    result = _libc.syscall(
        ctypes.c_long(_SYS_LANDLOCK_ADD_RULE),
        ctypes.c_int(ruleset),
        ctypes.c_int(path_beneath),
        beneath,
        ctypes.c_uint32(0),
    )
    _check(int(result), "landlock_add_rule")


def landlock_restrict_self(ruleset: int) -> None:
    """Hold this thread, and what it will start, to the rules; needs no-new-privileges."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)
    )
    _check(int(result), "landlock_restrict_self")
