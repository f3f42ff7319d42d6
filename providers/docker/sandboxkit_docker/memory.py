"""Whether the kernel has killed something in a sandbox for want of memory.

A container sees its own control group, so the guest need only be asked for a file of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable

from sandboxkit.errors import FileError
from sandboxkit.provider import ReadFileRequest

__all__ = ["MemoryWatch"]

# Of the second version of control groups, and of the first.
_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_LONGEST = 4096


class MemoryWatch:
    """Remembers, for each sandbox, how many were killed when it was last looked at.

    Args:
        read: reads a file of a sandbox.
    """

    def __init__(self, read: Callable[[ReadFileRequest], AsyncIterator[bytes]]) -> None:
        self._read = read
        self._seen: dict[str, int] = {}

    async def begin(self, sandbox_id: str) -> None:
        """Take what has happened so far as known.

        Raises:
            SandboxError: the sandbox cannot be asked.
        """
        if sandbox_id not in self._seen:
            self._seen[sandbox_id] = await self._count(sandbox_id)

    async def has_struck(self, sandbox_id: str) -> bool:
        """Whether there are more than there were; of a new sandbox, whether there are any.

        Raises:
            SandboxError: the sandbox cannot be asked.
        """
        count = await self._count(sandbox_id)
        before = self._seen.get(sandbox_id, 0)
        self._seen[sandbox_id] = count
        return count > before

    def forget(self, sandbox_id: str) -> None:
        """It has ended."""
        self._seen.pop(sandbox_id, None)

    async def _count(self, sandbox_id: str) -> int:
        for path in _FILES:
            request = ReadFileRequest(sandbox_id=sandbox_id, path=path, length=_LONGEST, user="0")
            content = b""
            with contextlib.suppress(FileError):
                async for chunk in self._read(request):
                    content += chunk
            found = _COUNT.search(content)
            if found:
                return int(found[1])
        return 0
