"""Plain TCP from a port of this machine to a port of a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from ..errors import SandboxError
from ..provider import PortStream
from .listener import Listener, reset
from .relay import relay

__all__ = ["AsyncForward", "Connect", "open_forward"]

Connect = Callable[[], Awaitable[PortStream]]
"""Makes a connection to the port; raises `SandboxError`."""


class AsyncForward:
    """A port of this machine whose connections go to a port of a sandbox.

    It ends with `close`, with the sandbox object, and with this process.

    Attributes:
        host: the address it listens at.
        port: the port it listens at.
    """

    def __init__(self, listener: Listener) -> None:
        self.host = listener.host
        self.port = listener.port
        self._listener = listener

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}:{self.port}>"

    async def close(self) -> None:
        """Listen no more, and end the connections. Idempotent."""
        await self._listener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def open_forward(connect: Connect, host: str, local_port: int) -> AsyncForward:
    """Listen, and connect each client by `connect`.

    Raises:
        InvalidRequestError: it is not possible to listen there.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await connect()
        except SandboxError:
            reset(writer)  # as if nobody had listened here
            return
        async with contextlib.aclosing(stream):
            await relay(reader, writer, stream)

    return AsyncForward(await Listener.open(serve, host, local_port, "forward"))
