"""The system call filter, run by an interpreter of its own: for each architecture, each rule."""

from __future__ import annotations

import errno
from collections.abc import Iterable

import pytest

from sandboxkit_local.jail.numbers import NUMBERS
from sandboxkit_local.jail.policy import ALLOWED, CONDITIONED, POLICY, REFUSED
from sandboxkit_local.jail.seccomp import compile_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    data = {0: number, 4: architecture if architecture is not None else ARCHITECTURES[machine]}
    for position, argument in enumerate((*arguments, *[0] * (6 - len(arguments)))):
        data[16 + 8 * position] = argument & 0xFFFFFFFF
        data[20 + 8 * position] = argument >> 32
    program = compile_filter(POLICY, machine)
    accumulator = at = 0
    for _ in range(len(program)):
        code, yes, no, value = program[at]
        at += 1
        if code == 0x20:
            accumulator = data[value]
        elif code == 0x06:
            return value
        elif code == 0x05:
            at += value
        elif code == 0x15:
            at += yes if accumulator == value else no
        elif code == 0x35:
            at += yes if accumulator >= value else no
        elif code == 0x45:
            at += yes if accumulator & value else no
        else:
            raise AssertionError(f"instruction {code:#x}")
    raise AssertionError("the program does not end")


def number(name: str, machine: str) -> int:
    found = NUMBERS[name][list(ARCHITECTURES).index(machine)]
    assert found is not None
    return found


def numbers(calls: Iterable[str], machine: str) -> set[int | None]:
    return {NUMBERS[call][list(ARCHITECTURES).index(machine)] for call in calls}


CONDITIONAL = {call for rule in CONDITIONED for call in rule.calls}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_only_what_is_allowed_is_allowed(machine: str):
    allowed, refused, conditional = (
        numbers(calls, machine) for calls in (POLICY.allowed, POLICY.refused, CONDITIONAL)
    )
    for candidate in (*range(600), 0x3FFFFFFF):
        if candidate in allowed:
            assert verdict(machine, candidate) == ALLOW, candidate
        elif candidate in refused:
            assert verdict(machine, candidate) == 0x50000 | errno.EPERM, candidate
        elif candidate not in conditional:
            assert verdict(machine, candidate) == 0x50000 | errno.ENOSYS, candidate


# What Docker's default profile of 2025 keeps from a container without added capabilities.
DOCKER_REFUSES = """
_sysctl acct add_key afs_syscall bpf clock_settime clone3 create_module delete_module fanotify_init
file_getattr file_setattr finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy
getpmsg init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
kexec_file_load kexec_load keyctl lookup_dcookie lsm_get_self_attr lsm_list_modules
lsm_set_self_attr mbind migrate_pages mount mount_setattr move_mount move_pages nfsservctl
open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root process_madvise
putpmsg query_module quotactl quotactl_fd reboot request_key security set_mempolicy
set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog
tuxcall umount2 unshare uselib userfaultfd ustat vhangup vserver
"""


def test_nothing_is_allowed_that_docker_refuses():
    assert not set(DOCKER_REFUSES.split()) - set(NUMBERS)
    assert not set(DOCKER_REFUSES.split()) & (POLICY.allowed | CONDITIONAL)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_conditions(machine: str):
    refused, family = 0x50000 | errno.EPERM, 0x50000 | errno.EAFNOSUPPORT
    for flag in (
        0x80,
        0x20000,
        0x2000000,
        0x4000000,
        0x8000000,
        0x10000000,
        0x20000000,
        0x40000000,
    ):
        assert verdict(machine, number("clone", machine), flag | 17) == refused
    assert verdict(machine, number("clone", machine), 0x3D0F00) == ALLOW  # a thread
    for command, expected in ((0x5412, refused), (0x541C, refused), (0x5413, ALLOW)):
        assert verdict(machine, number("ioctl", machine), 0, command) == expected
        # The kernel ignores the upper half of the command.
        assert verdict(machine, number("ioctl", machine), 0, command | 1 << 32) == expected
    for persona, expected in ((0, ALLOW), (0xFFFFFFFF, ALLOW), (0x400000, refused)):
        assert verdict(machine, number("personality", machine), persona) == expected
    for kind, expected in (
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (17, family),
        (40, family),
    ):
        assert verdict(machine, number("socket", machine), kind) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_limits_may_be_read_of_any_process_and_set_of_the_caller(machine: str):
    refused, prlimit = 0x50000 | errno.EPERM, number("prlimit64", machine)
    for pid in (1, 77, 0xFFFFFFFF):
        for new in (8, 1 << 32, 0x7F00_0000_0000, 0x7FFF_1234_5678):
            assert verdict(machine, prlimit, pid, 7, new, 0) == refused
            assert verdict(machine, prlimit, pid, 7, 0, new) == ALLOW
            assert verdict(machine, prlimit, 0, 7, new, new) == ALLOW
            assert verdict(machine, prlimit, 1 << 32, 7, new, new) == ALLOW  # a pid has 32 bits


def test_other_architectures_are_killed():
    for machine, other in (("x86_64", 0x40000003), ("aarch64", 0x40000028)):
        assert verdict(machine, 0, architecture=other) == KILL
    assert verdict("x86_64", 0x40000000 | 39) == KILL  # x32


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_protocols_whose_modules_would_be_loaded_are_refused(machine: str):
    socket, refused = number("socket", machine), 0x50000 | errno.EPROTONOSUPPORT
    for family in (2, 10):
        for protocol, expected in ((6, ALLOW), (17, ALLOW), (132, refused), (262, refused)):
            assert verdict(machine, socket, family, 1, protocol) == expected
    for protocol, expected in ((0, ALLOW), (4, refused), (12, refused)):
        assert verdict(machine, socket, 16, 3, protocol) == expected
    assert verdict(machine, socket, 1, 1, 132) == ALLOW  # for a unix socket it means nothing
    assert verdict(machine, socket, 40, 1, 0) == 0x50000 | errno.EAFNOSUPPORT


def test_every_call_is_known_and_in_one_group():
    calls = [call for table in (ALLOWED, REFUSED) for group in table.values() for call in group]
    assert len(calls) == len(set(calls))
    assert set(calls) | CONDITIONAL <= set(NUMBERS)
    assert not CONDITIONAL & set(calls)
