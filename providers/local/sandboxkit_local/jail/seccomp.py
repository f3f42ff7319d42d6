"""Compiling a policy into a seccomp filter, and installing it.

The program looks at the architecture, then finds by bisection the span of numbers with one verdict
that the call's is in. The kernel remembers which numbers it lets through whatever the arguments
(since Linux 5.11), so that most calls cost nothing.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from itertools import groupby

from .numbers import NUMBERS
from .policy import POLICY, Condition, Policy, Rule
from .syscalls import seccomp_filter

__all__ = ["compile_filter", "install", "prepare", "supported"]

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000

_LOAD = 0x20
_JUMP, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x05, 0x15, 0x35, 0x45, 0x06

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value."""


class _Program(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_ushort),
        ("instructions", ctypes.c_char_p),
    ]


def supported() -> bool:
    """Whether filters are known for this machine's architecture."""
    return platform.machine() in _ARCHITECTURES


def prepare(policy: Policy = POLICY) -> ctypes.Structure:
    """The compiled filter for this machine, ready to be installed in any number of children."""
    instructions = compile_filter(policy, platform.machine())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    return _Program(len(instructions), code)


def install(program: ctypes.Structure) -> None:
    """Filter this process and all its descendants, for good."""
    seccomp_filter(program)


def compile_filter(policy: Policy, machine: str) -> list[Instruction]:
    """The instructions for an architecture.

    Raises:
        KeyError: the architecture or a call's name is unknown.
    """
    column, architecture = _ARCHITECTURES[machine]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    return program + _search(_spans(_verdicts(policy, column)))


def _verdicts(policy: Policy, column: int) -> dict[int, list[Instruction]]:
    """What to do about each number that the policy names."""
    allow: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)]
    by_name = dict.fromkeys(policy.refused, _failure(errno.EPERM))
    by_name |= dict.fromkeys(policy.allowed, allow)
    for rule in reversed(policy.conditioned):
        for call in rule.calls:
            by_name[call] = _unless(rule, by_name.get(call, allow))
    by_number = {NUMBERS[call][column]: verdict for call, verdict in by_name.items()}
    return {number: verdict for number, verdict in by_number.items() if number is not None}


def _spans(by_number: dict[int, list[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """First number and verdict of each run of numbers with the same; the last goes on for ever."""
    unknown = _failure(errno.ENOSYS)
    every = [by_number.get(number, unknown) for number in range(max(by_number) + 2)]
    return [
        (next(numbers)[0], verdict)
        for verdict, numbers in groupby(enumerate(every), lambda p: p[1])
    ]


def _search(spans: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    below, above = _search(spans[:middle]), _search(spans[middle:])
    # A conditional jump reaches 255 instructions; the unconditional one any distance.
    return [(_IF_AT_LEAST, 0, 1, spans[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _failure(number: int) -> list[Instruction]:
    return [(_RETURN, 0, 0, _ERRNO | number)]


def _unless(rule: Rule, otherwise: list[Instruction]) -> list[Instruction]:
    """Fail if all conditions of the rule hold; else go on with something else."""
    found = _failure(rule.errno)
    for condition in reversed(rule.conditions):
        found = _test(condition, found, otherwise)
    return found


def _test(
    condition: Condition, found: list[Instruction], missed: list[Instruction]
) -> list[Instruction]:
    """Go on with `found` if the condition holds, else with `missed`; both end by returning."""
    low: Instruction = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument)
    if condition.test == "any_bit":
        return [low, (_IF_ANY_BIT, 0, len(found), condition.values[0]), *found, *missed]
    if condition.test == "not_null":
        high: Instruction = (_LOAD, 0, 0, low[3] + 4)  # both architectures are little-endian
        tests = [(_IF_EQUAL, 0, 2, 0), high, (_IF_EQUAL, len(found), 0, 0)]
        return [low, *tests, *found, *missed]
    near, far = (missed, found) if condition.test == "one_of" else (found, missed)
    after = len(condition.values) - 1 + len(near)
    tests = [
        (_IF_EQUAL, after - position, 0, value) for position, value in enumerate(condition.values)
    ]
    return [low, *tests, *near, *far]
