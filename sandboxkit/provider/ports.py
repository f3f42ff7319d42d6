"""Ports: byte streams to what listens inside a sandbox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .lifecycle import SandboxRequest

__all__ = ["ConnectPortRequest", "PortStream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectPortRequest(SandboxRequest):
    """Connect to a TCP port on the sandbox's loopback interface.

    Attributes:
        port: 1 to 65,535.
        wait: seconds for which to wait until somebody listens there; 0 is not at all.
    """

    port: int
    wait: float = 0.0


class PortStream(ABC):
    """A connection to a port, open both ways."""

    @abstractmethod
    async def receive(self) -> bytes:
        """Some bytes; none at the end of the stream.

        Raises:
            ConnectionError: it was reset.
        """

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send all of it; waits while the other side does not read.

        Raises:
            ConnectionError: the other side has closed.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Let the other side see the end of what we send; receiving goes on."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close both ways. Idempotent."""
