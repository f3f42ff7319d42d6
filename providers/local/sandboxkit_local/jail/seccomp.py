"""Compiling a policy into a seccomp filter, and installing it.

The program looks at the architecture, then finds the call's number by bisection, so that a call
costs about log2 of the number of rules.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Sequence

from .numbers import NUMBERS
from .policy import RULES, Condition, Rule
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


def prepare(rules: Sequence[Rule] = RULES) -> ctypes.Structure:
    """The compiled filter for this machine, ready to be installed in any number of children."""
    instructions = compile_filter(rules, platform.machine())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    return _Program(len(instructions), code)


def install(program: ctypes.Structure) -> None:
    """Filter this process and all its descendants, for good."""
    seccomp_filter(program)


def compile_filter(rules: Sequence[Rule], machine: str) -> list[Instruction]:
    """The instructions for an architecture.

    Raises:
        KeyError: the architecture or a call's name is unknown.
    """
    column, architecture = _ARCHITECTURES[machine]
    by_number: dict[int, list[Instruction]] = {}
    for rule in rules:
        for call in rule.calls:
            number = NUMBERS[call][column]
            if number is not None:
                by_number[number] = _verdict(rule)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    return program + _search(sorted(by_number.items()))


def _search(leaves: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(leaves) == 1:
        number, verdict = leaves[0]
        return [(_IF_EQUAL, 1, 0, number), (_RETURN, 0, 0, _ALLOW), *verdict]
    middle = len(leaves) // 2
    below, above = _search(leaves[:middle]), _search(leaves[middle:])
    # A conditional jump reaches 255 instructions; the unconditional one any distance.
    return [(_IF_AT_LEAST, 0, 1, leaves[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _verdict(rule: Rule) -> list[Instruction]:
    found: list[Instruction] = [(_RETURN, 0, 0, _ERRNO | rule.errno)]
    for condition in (rule.also, rule.condition):
        if condition is not None:
            found = _test(condition, found)
    return found


def _test(condition: Condition, found: list[Instruction]) -> list[Instruction]:
    """Go on with `found` if the condition holds; else allow the call."""
    allow: Instruction = (_RETURN, 0, 0, _ALLOW)
    low: Instruction = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument)
    if condition.test == "any_bit":
        return [low, (_IF_ANY_BIT, 0, len(found), condition.values[0]), *found, allow]
    if condition.test == "not_null":
        high: Instruction = (_LOAD, 0, 0, low[3] + 4)  # both architectures are little-endian
        tests = [(_IF_EQUAL, 0, 2, 0), high, (_IF_EQUAL, len(found), 0, 0)]
        return [low, *tests, *found, allow]
    hit, missed = (found, [allow]) if condition.test == "one_of" else ([allow], found)
    after = len(condition.values) - 1 + len(missed)
    tests = [
        (_IF_EQUAL, after - position, 0, value) for position, value in enumerate(condition.values)
    ]
    return [low, *tests, *missed, *hit]
