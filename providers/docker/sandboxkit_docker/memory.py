"""Whether the kernel has killed something in a sandbox for want of memory.

A container sees its own control group, so the guest need only be asked for a file of it.
"""

from __future__ import annotations

import contextlib
import re

from sandboxkit.errors import FileError
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.files import read_file
from sandboxkit.provider import ReadFileRequest

__all__ = ["MemoryWatch"]

# Of the second version of control groups, and of the first.
_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_LONGEST = 4096


class MemoryWatch:
    """Remembers, for each sandbox, how many were killed when it was last looked at."""

    def __init__(self) -> None:
        self._seen: dict[str | None, int] = {}

    async def begin(self, client: GuestClient) -> None:
        """Take what has happened so far as known."""
        if client.sandbox_id not in self._seen:
            self._seen[client.sandbox_id] = await _count(client)

    async def has_struck(self, client: GuestClient) -> bool:
        """Whether there are more than there were; of a new sandbox, whether there are any."""
        count = await _count(client)
        before = self._seen.get(client.sandbox_id, 0)
        self._seen[client.sandbox_id] = count
        return count > before


async def _count(client: GuestClient) -> int:
    for path in _FILES:
        request = ReadFileRequest(
            sandbox_id=client.sandbox_id or "", path=path, length=_LONGEST, user="root"
        )
        content = b""
        with contextlib.suppress(FileError):
            async for chunk in read_file(client, request):
                content += chunk
        found = _COUNT.search(content)
        if found:
            return int(found[1])
    return 0
