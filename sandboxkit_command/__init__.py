"""The ``sandboxkit`` program's first step, a package of its own so that it comes before all else.

Whatever is imported from ``sandboxkit`` imports all of that first, which takes a large part of a
second, and Ctrl-C in that time would end in a traceback.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and exit with its status."""
    # Where the shell has it ignored (`nohup`, `&` in a script), it stays so.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    from sandboxkit.cli import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # by which it knows so, too
    run()


def _leave(number: int, frame: FrameType | None) -> None:
    # Not as an exception: Python prints those that come in the midst of an import's callbacks.
    os._exit(INTERRUPTED)
