"""The ports of one sandbox: what this process has opened to reach them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequestError, SandboxError, TransportError
from ..provider import ConnectPortRequest, PortStream, PortURL, PortURLRequest, Provider
from ..units import Duration, parse_duration
from .forward import AsyncForward, open_forward

if TYPE_CHECKING:
    from .http import HttpPort

__all__ = ["Ports", "check_port"]

SCHEMES = ("http", "ws")
PATIENCE = 25.0
"""Seconds beyond its own waiting after which a provider that does not answer is given up."""


def check_port(port: Any, op: str, *, least: int = 1) -> int:
    """A port's number.

    Raises:
        InvalidRequestError: it is none.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not least <= port <= 65535:
        raise InvalidRequestError(
            f"{op}: a port is a number from {least} to 65535, not {port!r:.60}", op=op
        )
    return port


class Ports:
    """Opens listeners and closes them all in the end.

    Args:
        use: gives the provider, if it can do what is asked.
        sandbox_id: whose ports.
        address: the same, for people.
    """

    def __init__(self, use: Callable[[str, str], Provider], sandbox_id: str, address: str) -> None:
        self._use = use
        self._id = sandbox_id
        self._address = address
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._opening = asyncio.Lock()
        self._urls: dict[int, HttpPort] = {}
        self._forwards: list[AsyncForward] = []

    async def url(self, port: int, wait: Duration | None, scheme: str) -> PortURL:
        """See `AsyncSandbox.url`."""
        check_port(port, "url")
        seconds = 0.0 if wait is None else parse_duration(wait, "url: wait")
        if scheme not in SCHEMES:
            raise InvalidRequestError(
                f"url: scheme {scheme!r:.60} is not one of {', '.join(SCHEMES)}", op="url"
            )
        provider = self._use("url", "")
        if provider.capabilities.port_urls:
            return await provider.port_url(
                PortURLRequest(sandbox_id=self._id, port=port, scheme=scheme, wait=seconds)
            )
        self._use("url", "ports")
        if seconds:
            stream = await self._connect(port, "url", seconds)
            await stream.send_eof()  # a server that looks at it sees a good end
            await stream.aclose()
        return (await self._http(port)).url(scheme)

    async def forward(self, port: int, local_port: int, host: Any) -> AsyncForward:
        """See `AsyncSandbox.forward`."""
        check_port(port, "forward")
        check_port(local_port, "forward", least=0)
        if not isinstance(host, str) or not host:
            raise InvalidRequestError(
                f"forward: a host is a name or an address of this machine, not {host!r:.60}",
                op="forward",
            )
        self._check_process()
        async with self._opening:
            self._use("forward", "ports")
            made = await open_forward(lambda: self._connect(port, "forward"), host, local_port)
            self._forwards.append(made)
            return made

    async def close(self) -> None:
        """Close every listener. Idempotent."""
        self._check_process()
        async with self._opening:
            opened: list[HttpPort | AsyncForward] = [*self._urls.values(), *self._forwards]
            self._urls.clear()
            self._forwards.clear()
            for one in opened:
                await one.close()

    async def _http(self, port: int) -> HttpPort:
        from .http import HttpPort  # with its parser, which few programs need

        self._check_process()
        async with self._opening:
            self._use("url", "ports")  # it may have been closed meanwhile
            found = self._urls.get(port)
            if found is None:
                found = await HttpPort.open(
                    lambda: self._connect(port, "url"), f"port {port} of {self._address}"
                )
                self._urls[port] = found
            return found

    async def _connect(self, port: int, op: str, wait: float = 0.0) -> PortStream:
        provider = self._use(op, "ports")
        request = ConnectPortRequest(sandbox_id=self._id, port=port, wait=wait)
        try:
            async with asyncio.timeout(wait + PATIENCE):
                return await provider.connect_port(request)
        except SandboxError as error:
            error.op = op  # what the caller called, not what it takes
            raise
        except TimeoutError:
            raise TransportError(
                f"{op}: port {port} gave no answer for {wait + PATIENCE:g} s", op=op
            ) from None

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._forget()  # the listeners are the parent's
