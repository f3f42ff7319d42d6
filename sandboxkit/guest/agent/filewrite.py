"""Replaces a file's content at once: a temporary file beside it, then a rename."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Callable, ContextManager, Optional

from .errors import OpError
from .stream import Stream

_NEW_MODE = 0o644


def make_parents(path: bytes) -> None:
    """Make the directories above `path` that are missing.

    Raises:
        OSError: one cannot be made.
    """
    parent = os.path.dirname(path)
    missing = []
    while parent not in (b"", b"/") and not os.path.exists(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)


class Writer:
    """Takes a file's new content from a stream.

    Args:
        stream: with DATA on its main channel.
        path: the file; through a symlink, what that points to.
        mode: permission bits; ``None`` keeps those of the file that is there.
        acting: for the rights of the file's writer.
        failure: says an error of the path.

    Raises:
        OpError: it cannot be written.
    """

    def __init__(
        self,
        stream: Stream,
        path: bytes,
        mode: Optional[int],
        acting: Callable[[], ContextManager[None]],
        failure: Callable[[OSError], OpError],
    ) -> None:
        self._stream = stream
        self._acting = acting
        self._failure = failure
        self._mode = mode
        self._replaced: Optional[os.stat_result] = None
        self._size = 0
        self._fd = -1
        try:
            with acting():
                self._target = self._resolve(path)
                make_parents(self._target)
                name = b".sandboxkit-" + os.urandom(8).hex().encode("ascii")
                self._temporary = os.path.join(os.path.dirname(self._target), name)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(self._temporary, flags, 0o600)
        except OSError as error:
            raise failure(error) from error
        stream.on_data = self._on_data
        stream.on_lost = lambda _clean: self._abandon()
        stream.on_reset = self._on_reset

    def _resolve(self, path: bytes) -> bytes:
        """The file to replace; notes what is there."""
        if path.endswith(b"/"):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return os.path.realpath(path) if os.path.islink(path) else path
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            # To rename over a device would take it away from everybody.
            raise OSError(errno.EINVAL, "not a regular file")
        if not os.access(path, os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._replaced = found
        return os.path.realpath(path) if os.path.islink(path) else path

    def _on_data(self, _channel: int, data: bytes, fin: bool) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._size += len(data)
            if fin:
                self._commit()
        except OSError as error:
            self._abandon()
            self._stream.fail(self._failure(error))
            return
        if fin:
            self._stream.result({"size": self._size})
        else:
            self._stream.grant(len(data))

    def _commit(self) -> None:
        mode, replaced = self._mode, self._replaced
        if mode is None:
            mode = stat.S_IMODE(replaced.st_mode) if replaced is not None else _NEW_MODE
        with self._acting():
            if replaced is not None:
                self._keep_owner(replaced)
            os.fchmod(self._fd, mode)
            os.close(self._fd)
            self._fd = -1
            os.rename(self._temporary, self._target)
            self._temporary = b""

    def _keep_owner(self, replaced: os.stat_result) -> None:
        made = os.fstat(self._fd)
        if (made.st_uid, made.st_gid) != (replaced.st_uid, replaced.st_gid):
            # Only the superuser may; for others the file becomes their own.
            with contextlib.suppress(OSError):
                os.fchown(self._fd, replaced.st_uid, replaced.st_gid)

    def _on_reset(self) -> None:
        self._abandon()
        self._stream.result({"size": 0})

    def _abandon(self) -> None:
        """Remove the temporary file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            with contextlib.suppress(OSError, OpError), self._acting():
                os.unlink(self._temporary)
            self._temporary = b""
