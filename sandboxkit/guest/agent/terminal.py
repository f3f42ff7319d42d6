"""Terminals: what a process is started on instead of pipes.

The agent holds the master side. What may still be in the kernel when a process has ended cannot be
asked for (FIONREAD sees one of the two buffers it passes through), but a read moves it along: what
is read until nothing is left is all there was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios
from typing import NamedTuple, Optional, Tuple

from . import arguments
from .pipes import Output

__all__ = ["TERM", "Size", "Terminal", "open_terminal", "size", "terminal_size"]

#: What programs take it for, where their environment says nothing else.
TERM = "xterm-256color"

_LARGEST = 32_767
# The kernel keeps less than this of what was written and not read: 4 KiB and twice 8 KiB.
_HELD = 65_536
# Erasing in a line takes whole characters of UTF-8. Not in the termios module of every version.
_IUTF8 = 0o40000
_CHARACTERS = 6


class Size(NamedTuple):
    """How large a terminal is, in characters."""

    rows: int
    columns: int


def size(args: arguments.Arguments) -> Size:
    """The size that `args` gives.

    Raises:
        OpError: ``bad_request``.
    """
    rows, columns = (arguments.needed_integer(args, name, least=1) for name in ("rows", "columns"))
    if max(rows, columns) > _LARGEST:
        raise arguments.bad(f"a terminal has at most {_LARGEST} rows and columns")
    return Size(rows, columns)


def terminal_size(args: arguments.Arguments) -> Optional[Size]:
    """The size in ``args["terminal"]``; ``None`` where no terminal is asked for.

    Raises:
        OpError: ``bad_request``.
    """
    given = args.get("terminal")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise arguments.bad("'terminal' must be an object with 'rows' and 'columns'")
    return size(given)


def open_terminal(wanted: Size) -> Tuple[int, int]:
    """A new terminal, its master side and its slave side.

    Raises:
        OSError: no more descriptors or terminals.
    """
    # The slave is opened with O_NOCTTY, else it would be the agent's own.
    master, slave = os.openpty()
    with contextlib.suppress(OSError, termios.error):
        modes = termios.tcgetattr(slave)
        modes[0] |= _IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
    _resize(master, wanted)
    return master, slave


def _resize(master: int, wanted: Size) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *wanted, 0, 0))


class Terminal(Output):
    """The master side of a process's terminal: all of its output, its size, the end of its input.

    It has ended when nobody has the slave side open any more.
    """

    def resize(self, wanted: Size) -> None:
        """Give it another size; the kernel tells who is in the foreground."""
        if not self.ended:
            _resize(self._fd, wanted)

    def end_of_input(self) -> bytes:
        """What to type so that who reads it sees the end; nothing where it would be content."""
        with contextlib.suppress(OSError, termios.error):
            if not self.ended:
                modes = termios.tcgetattr(self._fd)
                character: bytes = modes[_CHARACTERS][termios.VEOF]
                return character
        return b""

    def written(self) -> int:
        """How far its output goes by now; all of it was read."""
        most = self.ring.end + _HELD
        while not self.ended and self.ring.end < most and self._read(most - self.ring.end):
            continue
        return self.ring.end

    def _allowed(self) -> int:
        # So that `written` need not ask what there is room for.
        return super()._allowed() - _HELD

    def _receive(self, most: int) -> Optional[bytes]:
        try:
            return super()._receive(most)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""
