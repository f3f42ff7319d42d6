"""A sandbox's files."""

from __future__ import annotations

import builtins
import os
import posixpath
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial

from .errors import InvalidRequestError, PathNotFoundError, located
from .models import FileInfo
from .provider import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    Provider,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    WatchRequest,
    WriteFileRequest,
)
from .spec import validate_path
from .stdin import ByteSource, check_source, chunks
from .transfer import (
    ProgressCallback,
    TransferOptions,
    TransferSummary,
    Verify,
    download,
    upload,
)
from .watch import AsyncWatch
from .writing import write_all

__all__ = ["AsyncFiles"]


class AsyncFiles:
    """Read, write and look at a sandbox's files. Relative paths start at its ``workdir``.

    Every method raises the `FileError` that fits, which is the built-in too
    (``FileNotFoundError``, ``IsADirectoryError``, ``PermissionError`` and so on), and
    `SandboxNotFoundError` when the sandbox has ended.
    """

    def __init__(
        self,
        use: Callable[[str, str], Provider],
        sandbox_id: str,
        workdir: Callable[[], str],
        watches: set[AsyncWatch],
    ) -> None:
        self._watches = watches
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
    ) -> AsyncGenerator[bytes]:
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

    async def write_many(self, files: Mapping[str, ByteSource], *, user: str | None = None) -> None:
        """Write several files, a few at a time, each as `write` does. All that can be are written.

        Args:
            files: what each path will hold.
            user: whose files they will be.

        Raises:
            FileError: the one that could not be written, as `write` raises it.
            WriteManyError: several could not; its ``failures`` has the error of each.
        """
        if not isinstance(files, Mapping):
            raise InvalidRequestError(
                f"write_many: write {{path: content, ...}}, not {files!r:.60}", op="write_many"
            )
        requests = {}
        for path, data in files.items():
            check_source(data, "write_many")
            requests[path] = WriteFileRequest(
                sandbox_id=self._id,
                path=self._path(path, "write_many"),
                data=chunks(data),
                user=user,
            )
        provider = self._use("write_many", "")
        with located(op="write_many", provider=provider.name, sandbox_id=self._id):
            await write_all(provider, requests)

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

    def watch(
        self, path: str = ".", *, recursive: bool = False, user: str | None = None
    ) -> AsyncWatch:
        """Watch a directory: use the result with ``async with``, iterate over it, or both.

        Symbolic links are told of and not followed, nor are other file systems. A directory that
        the user may not read is told of, but not what happens in it.

        Args:
            path: the directory.
            recursive: also all below it, with what is made there later.
            user: who watches; what happens where they may not read is not told.

        Raises:
            UnsupportedError: the provider cannot.
        """
        request = WatchRequest(
            sandbox_id=self._id, path=self._path(path, "watch"), recursive=recursive, user=user
        )
        return AsyncWatch(partial(self._use("watch", "watch").watch, request), self._watches)

    async def upload(
        self,
        source: str | os.PathLike[str],
        path: str,
        *,
        exclude: Sequence[str] = (),
        verify: Verify = "time",
        progress: ProgressCallback | None = None,
        user: str | None = None,
    ) -> TransferSummary:
        """Copy a local file or directory into the sandbox, at exactly this path.

        What is there already, whole, is not sent again, and a large file that was cut off goes on
        where it was: after an interruption, call it again. Permission bits, times, empty
        directories and symbolic links are kept as they are; links are never followed, devices,
        FIFOs and sockets are left out. What else is in a directory there stays.

        Args:
            source: a file or directory here; links in it are copied as links.
            path: what it will be in the sandbox; missing parents are made.
            exclude: patterns as in a ``.gitignore`` of what to leave out of a directory.
            verify: ``"time"`` takes a file of the same size and time for the same;
                ``"checksum"`` compares the content of files of the same size.
            progress: told how far it has come, at most ten times a second.
            user: whose files they will be.

        Raises:
            FileNotFoundError: there is no such local file (or the built-in that fits).
            PathIsDirectoryError: a directory is where a file should be.
            PathPermissionError: the user may not write there.
        """
        options = TransferOptions(exclude=exclude, verify=verify, progress=progress, user=user)
        options.check("upload")
        place = self._path(path, "upload")
        return await upload(self._use("upload", "trees"), self._id, source, place, options)

    async def download(
        self,
        path: str,
        target: str | os.PathLike[str],
        *,
        exclude: Sequence[str] = (),
        verify: Verify = "time",
        progress: ProgressCallback | None = None,
        user: str | None = None,
    ) -> TransferSummary:
        """Copy a file or directory out of the sandbox; as `upload`, the other way round.

        Whatever the sandbox does, nothing outside of `target` is written, no link in it is
        followed, and no file becomes setuid.

        Args:
            path: a file or directory in the sandbox.
            target: what it will be here; a file goes into a directory that is there. Missing
                parents are made.
            exclude: patterns as in a ``.gitignore`` of what to leave out of a directory.
            verify: ``"time"`` takes a file of the same size and time for the same;
                ``"checksum"`` compares the content of files of the same size.
            progress: told how far it has come, at most ten times a second.
            user: who reads them.

        Raises:
            PathNotFoundError: there is nothing at `path`.
            PathPermissionError: the user may not read something.
            IsADirectoryError: a directory is where a file should be here.
        """
        options = TransferOptions(exclude=exclude, verify=verify, progress=progress, user=user)
        options.check("download")
        place = self._path(path, "download")
        return await download(self._use("download", "trees"), self._id, place, target, options)
