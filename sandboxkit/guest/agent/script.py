"""Shell commands that are longer than the kernel takes as one argument."""

from __future__ import annotations

import contextlib
import os

from .arguments import bad

__all__ = ["FD", "LONGEST_ARGUMENT", "SOURCED", "script_file"]

#: Bytes; the kernel's own limit is 128 KiB with what ends it.
LONGEST_ARGUMENT = 100_000
#: Where the shell has the text. One digit, as some shells can close no others.
FD = 9
#: What the shell is told instead. Unlike a script's name this leaves ``$0`` as it is.
SOURCED = f". /proc/self/fd/{FD}"
# The shell has opened the text again by then, and what it starts shall not have it.
_BEFORE = f"exec {FD}<&-; ".encode("ascii")


def script_file(text: bytes) -> int:
    """A descriptor of a file without a name that holds the text, to be the shell's `FD`.

    Raises:
        OpError: ``bad_request``: there can be no such file.
        OSError: no more descriptors or space.
    """
    fd = _nameless()
    try:
        view = memoryview(_BEFORE + text)
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.close(fd)
        raise
    return fd


def _nameless() -> int:
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("script", os.MFD_CLOEXEC)
    try:
        return os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"'shell' is longer than {LONGEST_ARGUMENT} bytes, which cannot be passed on here"
        raise bad(f"{message}: {error.strerror}") from error
