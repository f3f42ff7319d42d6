"""Looking for processes that should be gone, from inside the sandbox."""

from __future__ import annotations

import itertools

from sandboxkit import Sandbox

_FIND = (
    'for p in /proc/[0-9]*; do if tr "\\0" " " < $p/cmdline 2>/dev/null | grep -qF -- "$1" && '
    '! tr "\\0" " " < $p/cmdline | grep -qF "for p in"; then echo ${p#/proc/}; fi; done'
)
_numbers = itertools.count(100000)


def marked_sleep() -> str:
    """A `sleep` command of five minutes that no other test runs."""
    return f"sleep 300.{next(_numbers)}"


def survivors(sandbox: Sandbox, command: str, *, exactly: bool = False) -> list[int]:
    """The pids inside that run this command; without `exactly`, shells that mention it as well."""
    find = _FIND.replace('grep -qF -- "$1"', 'grep -qxF -- "$1 "') if exactly else _FIND
    found = sandbox.run(["sh", "-c", find, "sh", command])
    assert found.ok, found
    return [int(line) for line in found.stdout.split()]
