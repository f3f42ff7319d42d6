"""Ports: byte streams to what listens inside a sandbox, and the provider's own addresses of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .lifecycle import SandboxRequest

__all__ = ["ConnectPortRequest", "PortStream", "PortURL", "PortURLRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectPortRequest(SandboxRequest):
    """Connect to a TCP port on the sandbox's loopback interface.

    Attributes:
        port: 1 to 65,535.
        wait: seconds for which to wait until somebody listens there; 0 is not at all.
    """

    port: int
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortURLRequest(SandboxRequest):
    """Say where the provider itself serves a port.

    Attributes:
        port: 1 to 65,535.
        scheme: ``http`` or ``ws``; the answer may be the encrypted one.
        wait: seconds for which to wait until somebody listens, where the provider can tell.
    """

    port: int
    scheme: str = "http"
    wait: float = 0.0


class PortURL(str):
    """The URL of a port: text that any client takes, and its parts for programs.

    Attributes:
        bare: the URL without credentials.
        headers: what to send with `bare` instead.
    """

    bare: str
    headers: Mapping[str, str]

    def __new__(
        cls, url: str, *, bare: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Self:
        """Make it; without more it is its own bare URL."""
        made = super().__new__(cls, url)
        made.bare = url if bare is None else bare
        made.headers = dict(headers or {})
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _port_url, (str(self), self.bare, dict(self.headers))


def _port_url(url: str, bare: str, headers: Mapping[str, str]) -> PortURL:
    return PortURL(url, bare=bare, headers=headers)


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
        """Close both ways; unless both had ended the other side sees a reset. Idempotent."""
