"""What a provider lacks, made of the operations that every provider has."""

from __future__ import annotations

import errno
import os.path
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ..errors import file_error
from ..execution import run_command
from ..models import CommandResult, FileInfo, FileType
from ..provider import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    Provider,
    RemoveRequest,
    RenameRequest,
    StartRequest,
)
from .base import Layer

__all__ = ["EmulatedFiles"]

TIMEOUT = 60.0
"""Seconds for one of the commands below."""

# One record a file, ended by NUL: mode (hex), size, mtime, owner, group, path; then the target.
_STAT = 'stat -c \'%f %s %Y %U %G %n\' -- "$1" && if [ -L "$1" ]; then readlink -- "$1"; fi'
_LIST = (
    '[ -d "$1" ] || { [ -e "$1" ] && echo "Not a directory" >&2 '
    '|| echo "No such file or directory" >&2; exit 1; }; cd -- "$1" && '
    "find -L . -mindepth 1 -maxdepth 0 >/dev/null && "
    'find . -mindepth 1 -maxdepth "$2" -exec sh -c \'for f; do '
    'stat -c "%f %s %Y %U %G %n" -- "$f"; if [ -L "$f" ]; then readlink -- "$f"; '
    'else echo; fi; printf "\\0"; done\' sh {} +'
)
_MKDIR_PARENTS = 'mkdir -p -- "$1" && chmod "$2" -- "$1"'
_MKDIR = 'mkdir -m "$2" -- "$1"'
_REMOVE = 'if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir -- "$1"; else rm -- "$1"; fi'
_REMOVE_TREE = (
    '[ -e "$1" ] || [ -L "$1" ] || { echo "No such file or directory" >&2; exit 1; }; '
    'rm -rf -- "$1"'
)
_RENAME = 'mv -f -T -- "$1" "$2"'

_MESSAGES = (
    ("No such file", errno.ENOENT),
    ("File exists", errno.EEXIST),
    ("Is a directory", errno.EISDIR),
    ("Not a directory", errno.ENOTDIR),
    ("Directory not empty", errno.ENOTEMPTY),
    ("Permission denied", errno.EACCES),
    ("Operation not permitted", errno.EPERM),
)

_TYPES: dict[int, FileType] = {0o100: "file", 0o040: "directory", 0o120: "symlink"}


class EmulatedFiles(Layer):
    """File operations as short commands, for providers that only read and write."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, file_ops=True)
        self.emulated = self.emulated | {"file_ops"}

    async def stat(self, request: PathRequest) -> FileInfo:
        """What `stat` prints."""
        result = await self._script(_STAT, request)
        return _entry(result.stdout, request.path)

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        """What `find` finds."""
        result = await self._script(_LIST, request, str(request.depth))
        records = (record for record in result.stdout.split("\0") if record)
        entries = []
        for record in records:
            relative = record.split("\n", 1)[0].split(" ", 5)[5]
            entries.append(_entry(record, os.path.join(request.path, relative[2:])))
        return sorted(entries, key=lambda entry: entry.path)

    async def mkdir(self, request: MkdirRequest) -> None:
        """`mkdir`."""
        script = _MKDIR_PARENTS if request.parents else _MKDIR
        await self._script(script, request, f"{request.mode:o}")

    async def remove(self, request: RemoveRequest) -> None:
        """`rm` or `rmdir`."""
        await self._script(_REMOVE_TREE if request.recursive else _REMOVE, request)

    async def rename(self, request: RenameRequest) -> None:
        """`mv`."""
        await self._script(_RENAME, request, request.target)

    async def _script(self, script: str, request: PathRequest, *more: str) -> CommandResult:
        result = await run_command(
            self.inner.start,
            StartRequest(
                sandbox_id=request.sandbox_id,
                command=("sh", "-c", script, "sh", request.path, *more),
                env={"LC_ALL": "C"},
                user=request.user,
                timeout=TIMEOUT,
            ),
        )
        if result.ok:
            return result
        said = result.stderr.strip()
        number = next((number for text, number in _MESSAGES if text in said), errno.EIO)
        raise file_error(number, request.path, f"{request.path}: {said}", provider=self.name)


def _entry(record: str, path: str) -> FileInfo:
    line, _, target = record.partition("\n")
    mode_text, size, modified, owner, group, _name = line.split(" ", 5)
    mode = int(mode_text, 16)
    kind = _TYPES.get(mode >> 9 & 0o170, "other")
    return FileInfo(
        path=path,
        type=kind,
        size=int(size),
        mode=mode & 0o7777,
        owner=owner,
        group=group,
        modified_at=datetime.fromtimestamp(int(modified), UTC),
        target=target.rstrip("\n") if kind == "symlink" else None,
    )
