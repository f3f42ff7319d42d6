"""The system call filter, run by an interpreter of its own: for each architecture, each rule."""

from __future__ import annotations

import errno

import pytest

from sandboxkit_local.jail.numbers import NUMBERS
from sandboxkit_local.jail.policy import RULES
from sandboxkit_local.jail.seccomp import compile_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    data = {0: number, 4: architecture if architecture is not None else ARCHITECTURES[machine]}
    for position, argument in enumerate((*arguments, *[0] * (6 - len(arguments)))):
        data[16 + 8 * position] = argument & 0xFFFFFFFF
        data[20 + 8 * position] = argument >> 32
    program = compile_filter(RULES, machine)
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


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_without_condition_are_refused(machine: str):
    for rule in RULES:
        for call in rule.calls:
            found = NUMBERS[call][list(ARCHITECTURES).index(machine)]
            if rule.condition is None and found is not None:
                assert verdict(machine, found) == 0x50000 | rule.errno, call


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_other_calls_are_allowed(machine: str):
    named = {NUMBERS[call][list(ARCHITECTURES).index(machine)] for r in RULES for call in r.calls}
    for candidate in range(470):
        if candidate not in named:
            assert verdict(machine, candidate) == ALLOW, candidate


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


def test_every_rule_names_known_calls_once():
    calls = [call for rule in RULES for call in rule.calls]
    assert len(calls) == len(set(calls))
    assert set(calls) == set(NUMBERS)
