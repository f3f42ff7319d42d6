"""The terminal that this process itself runs on."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator

from sandboxkit.models import TerminalSize

__all__ = ["local_size", "raw_mode"]


def local_size(fd: int) -> TerminalSize:
    """How large it is; the usual size if it does not know."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return TerminalSize()
    return TerminalSize(rows, columns) if rows and columns else TerminalSize()


@contextlib.contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Every key goes to us as it is pressed, none does anything here; undone at the end."""
    sys.stdout.flush()
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)  # what was typed ahead is for the program
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it may have gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
