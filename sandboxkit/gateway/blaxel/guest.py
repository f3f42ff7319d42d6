"""What the gateway keeps of one sandbox while it has it in hand."""

from __future__ import annotations

from ...models import SandboxInfo
from ...sandbox import AsyncSandbox
from .processes import Processes
from .uploads import Uploads

__all__ = ["Guest"]


class Guest:
    """The processes of a sandbox, and the uploads to it that come in parts.

    Attributes:
        processes: those that were started here.
        uploads: those that have not been completed.
    """

    def __init__(self, sandbox: AsyncSandbox, info: SandboxInfo) -> None:
        self.processes = Processes(sandbox, info)
        self.uploads = Uploads()

    async def close(self) -> None:
        """Let go of all."""
        await self.uploads.close()
        await self.processes.close()
