"""Failures that an author knows of: each with its reason, and only as long as it fails."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

__all__ = ["check_matched", "read"]


def read(path: Path) -> dict[str, str]:
    """The tests that are known to fail, with the reasons.

    A line is ``test_name  # reason``; blank lines and lines that begin with ``#`` do not count.

    Raises:
        pytest.UsageError: the file cannot be read, or a line gives no reason.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"known failures: {path}: {error}") from None
    known: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, reason = (part.strip() for part in line.partition("#"))
        if not reason:
            raise pytest.UsageError(f"{path}:{number}: {name} needs a reason: {name}  # why")
        known[name] = reason
    return known


def check_matched(known: Collection[str], names: Collection[str]) -> None:
    """Refuse known failures of tests that do not run: they would hide nothing, for ever.

    Raises:
        pytest.UsageError: one matches no test.
    """
    unmatched = sorted(set(known) - set(names))
    if unmatched:
        raise pytest.UsageError(
            f"known failures that match no test for this provider: {', '.join(unmatched)}"
        )
