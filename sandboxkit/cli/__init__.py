"""The ``sandboxkit`` command."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and exit with its status."""
    _open_streams()
    # Where the shell has it ignored (`nohup`, `&` in a script), it stays so.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if interruptible:
            signal.signal(signal.SIGINT, _leave)  # nothing to be cleared away yet
        from .app import run

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end)
        try:
            if interruptible:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            status = run(sys.argv[1:])
        finally:
            if interruptible:
                signal.signal(signal.SIGINT, _leave)  # all is done, and all is written
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


def _open_streams() -> None:
    # Python has None for a standard stream that was closed (`>&-`): nothing comes from there then,
    # and what goes there is for nobody.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that what this process made is killed on the way out.
    raise SystemExit(128 + number)


def _leave(number: int, frame: FrameType | None) -> None:
    # Not as an exception: Python prints those that come in the midst of its own start or end.
    os._exit(INTERRUPTED)
