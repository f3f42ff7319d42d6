"""Sends the content of a file on a stream."""

from __future__ import annotations

import errno
import os
import stat
from typing import Optional

from . import frames
from .loop import Loop
from .stream import Stream

_READS_AT_ONCE = 8


def open_regular(path: bytes) -> int:
    """A descriptor for reading.

    Raises:
        OSError: also for what is not a regular file; nothing is waited for.
    """
    # Looked at before it is opened, since opening a device can have effects.
    _check_regular(os.stat(path).st_mode)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_regular(os.fstat(fd).st_mode)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")


class Reader:
    """Sends a file in chunks, as fast as the stream takes them.

    Args:
        loop: the reactor.
        stream: to send on.
        path: the file.
        offset: of the first byte.
        length: bytes to send; ``None`` is to the end.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(
        self, loop: Loop, stream: Stream, path: bytes, offset: int, length: Optional[int]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._offset = offset
        self._left = length
        self._sent = 0
        self._due = False
        self._fd = open_regular(path)
        stream.on_writable = self._pump
        stream.on_lost = lambda _clean: self._close()
        stream.on_reset = self._on_reset
        self._pump()

    def _pump(self) -> None:
        for _ in range(_READS_AT_ONCE):
            room = self._stream.room(frames.MAIN)
            # The end of a file that fits the window exactly needs no more room.
            if not room and self._left != 0:
                return
            if not self._send(min(room, frames.MAX_DATA)):
                return
        self._go_on_soon()

    def _send(self, most: int) -> bool:
        """Send one chunk; false at the end."""
        if self._left is not None:
            most = min(most, self._left)
        try:
            data = os.pread(self._fd, most, self._offset) if most else b""
        except OSError as error:
            self._close()
            self._stream.fail(error)
            return False
        if not data:
            self._close()
            self._stream.data(frames.MAIN, b"", fin=True)
            self._stream.result({"size": self._sent})
            return False
        self._stream.data(frames.MAIN, data)
        self._offset += len(data)
        self._sent += len(data)
        if self._left is not None:
            self._left -= len(data)
        return True

    def _go_on_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._due = False
        if self._fd >= 0 and not self._stream.ended:
            self._pump()

    def _on_reset(self) -> None:
        self._close()
        self._stream.result({"size": self._sent})

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
