"""A sandbox's files."""

from __future__ import annotations

import builtins
import os
import posixpath
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from .errors import InvalidRequestError, PathNotFoundError
from .models import FileInfo
from .provider import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    Provider,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    WriteFileRequest,
)
from .spec import validate_path
from .stdin import ByteSource, check_source, chunks
from .threads import in_thread

__all__ = ["AsyncFiles"]


class AsyncFiles:
    """Read, write and look at a sandbox's files. Relative paths start at its ``workdir``.

    Every method raises the `FileError` that fits, which is the built-in too
    (``FileNotFoundError``, ``IsADirectoryError``, ``PermissionError`` and so on), and
    `SandboxNotFoundError` when the sandbox has ended.
    """

    def __init__(
        self, use: Callable[[str, str], Provider], sandbox_id: str, workdir: Callable[[], str]
    ) -> None:
        self._use = use
        self._id = sandbox_id
        self._workdir = workdir

    def _path(self, path: str, op: str) -> str:
        return posixpath.normpath(posixpath.join(self._workdir(), validate_path(path, op)))

    async def read_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", user: str | None = None
    ) -> str:
        """The whole content as text.

        Raises:
            PathNotFoundError: there is no such file.
            PathIsDirectoryError: it is a directory.
            UnicodeDecodeError: it is not text in this encoding.
        """
        return (await self.read_bytes(path, user=user)).decode(encoding, errors)

    async def read_bytes(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> bytes:
        """The content, or `length` bytes of it from byte `offset`.

        Raises:
            PathNotFoundError: there is no such file.
            PathIsDirectoryError: it is a directory.
        """
        stream = self.read_stream(path, offset=offset, length=length, user=user)
        return b"".join([piece async for piece in stream])

    async def read_stream(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> AsyncIterator[bytes]:
        """The content in pieces, however large it is.

        Raises:
            PathNotFoundError: there is no such file.
            PathIsDirectoryError: it is a directory.
        """
        if offset < 0 or (length is not None and length < 0):
            raise InvalidRequestError("read: offset and length must not be negative", op="read")
        request = ReadFileRequest(
            sandbox_id=self._id,
            path=self._path(path, "read"),
            offset=offset,
            length=length,
            user=user,
        )
        async for piece in self._use("read", "").read_file(request):
            yield piece

    async def write(
        self, path: str, data: ByteSource, *, mode: int | None = None, user: str | None = None
    ) -> None:
        """Write a file at once: whoever reads it sees the old content or the new one.

        Args:
            path: missing parents are made.
            data: bytes, text (as UTF-8), a local file's `Path`, an open binary file, or chunks.
            mode: permission bits; ``None`` keeps those of a file that is replaced, else ``0o644``.
            user: whose file it will be.

        Raises:
            PathIsDirectoryError: it is a directory.
            PathPermissionError: the user may not write there.
        """
        if mode is not None and not 0 <= mode <= 0o7777:
            raise InvalidRequestError(
                f"write: mode {mode} is not permission bits; write it as 0o{mode}", op="write"
            )
        check_source(data, "write")
        await self._use("write", "").write_file(
            WriteFileRequest(
                sandbox_id=self._id,
                path=self._path(path, "write"),
                data=chunks(data),
                mode=mode,
                user=user,
            )
        )

    async def stat(self, path: str, *, user: str | None = None) -> FileInfo:
        """What is known of a path; a symlink is not followed.

        Raises:
            PathNotFoundError: there is nothing.
        """
        request = PathRequest(sandbox_id=self._id, path=self._path(path, "stat"), user=user)
        return await self._use("stat", "file_ops").stat(request)

    async def exists(self, path: str, *, user: str | None = None) -> bool:
        """Whether there is something at this path."""
        try:
            await self.stat(path, user=user)
        except PathNotFoundError:
            return False
        return True

    async def list(
        self, path: str = ".", *, depth: int = 1, user: str | None = None
    ) -> builtins.list[FileInfo]:
        """What is in a directory, sorted by path.

        Args:
            path: the directory.
            depth: how many levels down.
            user: who looks.

        Raises:
            PathNotDirectoryError: it is not a directory.
        """
        if depth < 1:
            raise InvalidRequestError("list: depth must be 1 or more", op="list")
        request = ListFilesRequest(
            sandbox_id=self._id, path=self._path(path, "list"), depth=depth, user=user
        )
        return [*await self._use("list", "file_ops").list_files(request)]

    async def mkdir(
        self, path: str, *, parents: bool = True, mode: int = 0o755, user: str | None = None
    ) -> None:
        """Make a directory.

        Args:
            path: where.
            parents: make missing parents too, and do not mind if it is there already.
            mode: permission bits.
            user: whose it will be.

        Raises:
            PathExistsError: something is there already (with ``parents``: that is no directory).
        """
        await self._use("mkdir", "file_ops").mkdir(
            MkdirRequest(
                sandbox_id=self._id,
                path=self._path(path, "mkdir"),
                parents=parents,
                mode=mode,
                user=user,
            )
        )

    async def remove(self, path: str, *, recursive: bool = False, user: str | None = None) -> None:
        """Remove a file, an empty directory or, if `recursive`, a directory and all in it.

        Raises:
            PathNotFoundError: there is nothing.
        """
        await self._use("remove", "file_ops").remove(
            RemoveRequest(
                sandbox_id=self._id,
                path=self._path(path, "remove"),
                recursive=recursive,
                user=user,
            )
        )

    async def rename(self, path: str, target: str, *, user: str | None = None) -> None:
        """Rename; a file that is at `target` is replaced.

        Raises:
            PathNotFoundError: there is nothing at `path`.
        """
        await self._use("rename", "file_ops").rename(
            RenameRequest(
                sandbox_id=self._id,
                path=self._path(path, "rename"),
                target=self._path(target, "rename"),
                user=user,
            )
        )

    async def upload(self, source: str | os.PathLike[str], path: str) -> None:
        """Copy a local file into the sandbox, its permission bits kept.

        Raises:
            FileNotFoundError: there is no such local file; nothing was sent.
            IsADirectoryError: it is a directory.
        """
        local = Path(source)
        mode = await in_thread(_readable_mode, local)
        await self.write(path, local, mode=mode)

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        """Copy a file out of the sandbox; the local file appears whole or not at all.

        Raises:
            PathNotFoundError: there is no such file in the sandbox.
        """
        local = Path(target)
        if await in_thread(local.is_dir):
            local = local / posixpath.basename(path)
        number, name = await in_thread(_temporary_beside, local)
        try:
            with os.fdopen(number, "wb") as file:
                async for piece in self.read_stream(path):
                    await in_thread(file.write, piece)
            await in_thread(os.replace, name, local)
        except BaseException:
            os.unlink(name)
            raise


def _temporary_beside(path: Path) -> tuple[int, str]:
    return tempfile.mkstemp(dir=path.parent)


def _readable_mode(path: Path) -> int:
    with path.open("rb"):
        return path.stat().st_mode & 0o777
