"""The standard streams that a process is started with, and the agent's ends of them."""

from __future__ import annotations

import contextlib
import os
from typing import Dict, NamedTuple, Optional, Tuple

from .pipes import make_pipe
from .terminal import Size, open_terminal

__all__ = ["Streams", "on_pipes", "on_terminal"]


class Streams(NamedTuple):
    """What a process gets, and what of it is ours.

    Attributes:
        output: our ends of its stdout and stderr; -1 is one that has ended.
        input: our end of its stdin, or -1.
        fds: descriptor there to descriptor here.
        terminal: path of the terminal it is to have.
    """

    output: Tuple[int, int]
    input: int
    fds: Dict[int, int]
    terminal: Optional[str] = None


def on_pipes(
    wants_input: bool, ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> Streams:
    """Two pipes for output, and one for input or nothing to read.

    Args:
        wants_input: whether there is a pipe to write to.
        ours: closes our ends.
        theirs: closes those of the process.

    Raises:
        OSError: no more descriptors.
    """
    out, err = _pipe(ours, theirs, inward=True), _pipe(ours, theirs, inward=True)
    inputs = _pipe(ours, theirs, inward=False) if wants_input else (-1, _nothing(theirs))
    return Streams((out[0], err[0]), inputs[0], {0: inputs[1], 1: out[1], 2: err[1]})


def on_terminal(size: Size, ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> Streams:
    """A terminal for all three; otherwise as `on_pipes`."""
    master, slave = open_terminal(size)
    ours.callback(os.close, master)
    theirs.callback(os.close, slave)
    # Watched apart from the output, since both ways stall and end apart.
    inward = os.dup(master)
    ours.callback(os.close, inward)
    return Streams((master, -1), inward, dict.fromkeys((0, 1, 2), slave), os.ttyname(slave))


def _pipe(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, inward: bool
) -> Tuple[int, int]:
    """Our end of a pipe and theirs, each closed by its stack."""
    read_end, write_end = make_pipe()
    own, other = (read_end, write_end) if inward else (write_end, read_end)
    ours.callback(os.close, own)
    theirs.callback(os.close, other)
    return own, other


def _nothing(theirs: contextlib.ExitStack) -> int:
    """An input that is at its end."""
    try:
        fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # A root directory may lack it.
        fd, write_end = os.pipe2(os.O_CLOEXEC)
        os.close(write_end)
    theirs.callback(os.close, fd)
    return fd
