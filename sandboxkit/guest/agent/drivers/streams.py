"""The standard streams of an interpreter: the real descriptors, line by line as on a terminal."""

from __future__ import annotations

import os
import sys
from typing import Dict, TextIO

__all__ = ["Streams"]

# Names of files that are not UTF-8 can be printed; standard error never fails.
WRITERS = {"stdout": (1, "surrogateescape"), "stderr": (2, "backslashreplace")}


class Streams:
    """Our `sys.stdout` and `sys.stderr`; cells may put others in their place."""

    def __init__(self) -> None:
        self._ours: Dict[str, TextIO] = {}
        sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        self.reopen()
        os.register_at_fork(before=self.flush_ours)

    def reopen(self) -> None:
        """Make those anew that are not there yet or that a cell has closed."""
        for name, (fd, errors) in WRITERS.items():
            old = self._ours.get(name)
            if old is not None and not old.closed:
                continue
            new = open(fd, "w", buffering=1, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            self._ours[name] = new
            setattr(sys, f"__{name}__", new)
            if old is None or getattr(sys, name) is old:
                setattr(sys, name, new)

    def flush(self) -> None:
        """Write out all that was printed, by Python and by the C library.

        Raises:
            Exception: whatever a stream that a cell has put in place raises.
        """
        self.flush_ours()
        for stream in (sys.stdout, sys.stderr):
            if not getattr(stream, "closed", True):  # whatever a cell has put there
                stream.flush()
        ctypes = sys.modules.get("ctypes")
        if ctypes is not None:  # who prints from C without it is so rare that it may be late
            ctypes.pythonapi.fflush(None)

    def flush_ours(self) -> None:
        """Write out what Python has printed to our own streams."""
        # Before a fork too: what it finds in a buffer, parent and child would both write.
        for stream in self._ours.values():
            if not stream.closed:
                stream.flush()
