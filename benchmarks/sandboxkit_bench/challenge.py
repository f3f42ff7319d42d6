"""Tasks whose answer nobody can know who has not done them, there and now.

A new one is made for every attempt, so a cached answer is a wrong one. What runs in a sandbox that
lives already multiplies with a key that is only in a file of that sandbox, so whoever answers
without looking there is wrong as well. What runs in a fresh one says in which mount namespace it
ran, which is compared later, when no clock runs, with what another command sees there.
"""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass

__all__ = ["KEY_FILE", "Answer", "Challenge", "key"]

KEY_FILE = "bench-key"

PYTHON = """\
import os, time{imports}
where = os.readlink("/proc/self/ns/mnt")
print(1 + 1, {a} * {b} % {p}{useful}, where, time.monotonic_ns(), flush=True)
"""
USEFUL = ", int(numpy.add({a}, {b})), int(pandas.Series([{a}, {b}]).sum())"

PRIME = 2_147_483_647


@dataclass(frozen=True)
class Answer:
    """What a program in Python answered.

    Attributes:
        namespace: the mount namespace that it ran in.
        clock: the monotonic clock when it began to print, in nanoseconds.
    """

    namespace: str
    clock: int


@dataclass(frozen=True)
class Challenge:
    """Two numbers."""

    a: int
    b: int

    @classmethod
    def new(cls, drawing: random.Random) -> Challenge:
        return cls(drawing.randrange(1 << 20, 1 << 30), drawing.randrange(1 << 20, 1 << 30))

    def python(self, *, useful: bool = False) -> str:
        """A program; a useful one needs numpy and pandas."""
        more = USEFUL.format(a=self.a, b=self.b) if useful else ""
        imports = ", numpy, pandas" if useful else ""
        return PYTHON.format(a=self.a, b=self.b, p=PRIME, useful=more, imports=imports)

    def check_python(self, output: str, *, useful: bool = False) -> Answer:
        """Where and when it was answered.

        Raises:
            ValueError: the answer is wrong.
        """
        total = str(self.a + self.b)
        expected = ["2", str(self.a * self.b % PRIME), *([total, total] if useful else [])]
        words = output.split()
        if words[: len(expected)] != expected or len(words) != len(expected) + 2:
            raise ValueError(f"expected {' '.join(expected)} …, got {output[:80]!r}")
        return Answer(words[-2], int(words[-1]))

    def shell(self, *, then: str = "") -> list[str]:
        """A command that needs the key in `KEY_FILE` of its working directory."""
        return ["sh", "-c", f"read k < {KEY_FILE} && echo $((k * {self.a})){then}"]

    def check_shell(self, output: str, secret: int) -> None:
        """Raise ValueError if the answer is wrong."""
        if output.strip() != str(self.a * secret):
            raise ValueError(f"expected {self.a * secret}, got {output[:80]!r}")


def key() -> int:
    """A number that only one sandbox will know."""
    return secrets.randbelow(1 << 30) + 2


def own_namespace() -> str:
    """The mount namespace of this process."""
    return os.readlink("/proc/self/ns/mnt")
