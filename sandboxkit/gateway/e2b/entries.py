"""What is known of a file, as E2B's wire has it."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any

from ...errors import FileError
from ...models import FileInfo

__all__ = ["entry_of", "resolved"]

_TYPES = {"file": "FILE_TYPE_FILE", "directory": "FILE_TYPE_DIRECTORY"}
_LETTERS = {"directory": "d", "symlink": "L", "file": "-", "other": "?"}
MAX_LINKS = 40
"""Links that are followed before a path counts as a circle, as the kernel does."""

Look = Callable[[str], Awaitable[FileInfo]]


async def resolved(link: FileInfo, look: Look) -> FileInfo | None:
    """What a symbolic link leads to in the end; ``None`` if to nothing."""
    found = link
    for _ in range(MAX_LINKS):
        if found.type != "symlink" or found.target is None:
            return found
        path = posixpath.normpath(posixpath.join(posixpath.dirname(found.path), found.target))
        try:
            found = await look(path)
        except FileError:
            return None
    return None


async def entry_of(info: FileInfo, look: Look) -> dict[str, Any]:
    """An entry; a link has the type and mode of what it leads to, and the rest of its own."""
    target = await resolved(info, look) if info.type == "symlink" else info
    entry: dict[str, Any] = {
        "name": info.name,
        "path": info.path,
        "size": str(info.size),
        "mode": info.mode if target is None else target.mode,
        "permissions": _permissions(info),
        "owner": info.owner,
        "group": info.group,
        "modifiedTime": info.modified_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if target is not None and target.type in _TYPES:
        entry["type"] = _TYPES[target.type]
    if info.type == "symlink":
        entry["isSymlink"] = True
        entry["symlinkTarget"] = info.target if target is None else target.path
    return entry


def _permissions(info: FileInfo) -> str:
    bits = "".join(
        letter if info.mode & (1 << (8 - place)) else "-"
        for place, letter in enumerate("rwxrwxrwx")
    )
    return _LETTERS[info.type] + bits
