"""`upload` and `download`: which two trees a transfer is between."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from ..errors import InvalidRequestError, PathNotFoundError, file_error, located
from ..provider import Provider, TreeEntry
from ..threads import in_thread
from .copying import copy_file, copy_tree, is_missing
from .excludes import Excludes
from .meter import Meter
from .records import TransferOptions, TransferSummary
from .sides import RemoteSide

__all__ = ["download", "upload"]

MOST_LINKS = 40
"""Links that are followed from one to the next, as the kernel does."""


async def upload(
    provider: Provider,
    sandbox_id: str,
    source: str | os.PathLike[str],
    path: str,
    options: TransferOptions,
) -> TransferSummary:
    """Copy a local file or directory to an absolute path in a sandbox.

    Raises:
        OSError: something cannot be read or written.
        SandboxError: an option is wrong, or the sandbox cannot be reached.
    """
    from .local import LocalSide  # here: what it needs of the system is not on every one

    options.check("upload")
    excludes = Excludes(options.exclude, "upload")
    meter = Meter(options.progress)
    here = await in_thread(os.path.abspath, source)
    mode = (await in_thread(os.stat, here)).st_mode
    with located(op="upload", provider=provider.name, sandbox_id=sandbox_id):
        if stat.S_ISDIR(mode):
            remote = RemoteSide(provider, sandbox_id, path, options.user)
            await copy_tree(LocalSide(here), remote, excludes, options.verify, meter)
            return meter.summary()
        if not stat.S_ISREG(mode):
            raise InvalidRequestError(f"upload: {here} is neither a file nor a directory")
        path, found = await _followed(provider, sandbox_id, path, options.user)
        if path == "/" or (found is not None and found.type == "directory"):
            raise file_error(errno.EISDIR, path, f"{path}: {os.strerror(errno.EISDIR)}")
        folder, name = posixpath.split(path)
        remote = RemoteSide(provider, sandbox_id, folder, options.user)
        local = LocalSide(os.path.dirname(here))
        await copy_file(local, os.path.basename(here), remote, name, options.verify, meter)
    return meter.summary()


async def download(
    provider: Provider,
    sandbox_id: str,
    path: str,
    target: str | os.PathLike[str],
    options: TransferOptions,
) -> TransferSummary:
    """Copy a file or directory from an absolute path in a sandbox to a local path.

    Raises:
        OSError: something cannot be read or written.
        SandboxError: an option is wrong, or the sandbox cannot be reached.
    """
    from .local import LocalSide  # as above

    options.check("download")
    excludes = Excludes(options.exclude, "download")
    meter = Meter(options.progress)
    here = await in_thread(os.path.abspath, target)
    asked = path
    with located(op="download", provider=provider.name, sandbox_id=sandbox_id):
        path, found = await _followed(provider, sandbox_id, path, options.user)
        if path != "/" and (found is None or is_missing(found)):
            raise PathNotFoundError(f"{asked}: there is no such file", path=asked)
        if path == "/" or (found is not None and found.type == "directory"):
            remote = RemoteSide(provider, sandbox_id, path, options.user)
            await copy_tree(remote, LocalSide(here), excludes, options.verify, meter)
            return meter.summary()
        if await in_thread(os.path.isdir, here):
            here = os.path.join(here, posixpath.basename(asked))
        folder, name = posixpath.split(path)
        remote = RemoteSide(provider, sandbox_id, folder, options.user)
        local = LocalSide(os.path.dirname(here))
        await copy_file(remote, name, local, os.path.basename(here), options.verify, meter)
    return meter.summary()


async def _followed(
    provider: Provider, sandbox_id: str, path: str, user: str | None
) -> tuple[str, TreeEntry | None]:
    """Where a path leads that may be a link, and what is there; the path itself may be named so."""
    for _ in range(MOST_LINKS):
        if path == "/":
            return path, None
        folder, name = posixpath.split(path)
        (found,) = await RemoteSide(provider, sandbox_id, folder, user).stat([name])
        if found is None or found.type != "symlink":
            return path, found
        path = posixpath.normpath(posixpath.join(folder, found.target or ""))
    raise file_error(errno.ELOOP, path, f"{path}: {os.strerror(errno.ELOOP)}")
