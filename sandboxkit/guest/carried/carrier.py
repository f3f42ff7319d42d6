"""The command that carries a guest, as a provider offers it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

__all__ = ["Carrier"]


class Carrier(ABC):
    """A command of a sandbox's that was started with its standard input open."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Write to its standard input.

        Raises:
            SandboxError: it could not be sent.
        """

    @abstractmethod
    def output(self) -> AsyncIterator[bytes]:
        """What it writes to its standard output, in pieces, until it ends. Iterated once.

        Text that is not ASCII may be damaged: the loader writes none.

        Raises:
            SandboxError: it can be followed no longer.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End it, and let go of it. Idempotent; that it is gone already is no error."""

    @property
    @abstractmethod
    def complaint(self) -> str:
        """The end of what it wrote to its standard error, for messages."""
