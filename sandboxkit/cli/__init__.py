"""The ``sandboxkit`` command."""

from __future__ import annotations

import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its status."""
    from .app import run

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    sys.exit(run(sys.argv[1:]))


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that what this process made is killed on the way out.
    raise SystemExit(128 + number)
