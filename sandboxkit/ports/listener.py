"""A listening socket of this process, and a task for each connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ..errors import InvalidRequestError
from ..forking import inherited

__all__ = ["Listener", "reset"]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

MAX_CONNECTIONS = 480
"""Connections at once; a little less than the guest takes. Others are closed at once."""
BUFFER = 65536
"""Bytes read ahead of whoever takes them; twice as many may lie there."""


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset, not an end that it may take for a good one."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Listener:
    """Serves connections until it is closed. Made by `open`.

    Args:
        serve: is given each connection; the connection is closed as it returns, and reset if it
            fails.

    Attributes:
        host: the address it listens at.
        port: likewise.
    """

    def __init__(self, serve: Serve) -> None:
        self.host = ""
        self.port = 0
        self._serve = serve
        self._pid = os.getpid()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @classmethod
    async def open(cls, serve: Serve, host: str, port: int, op: str) -> Listener:
        """Listen at one address.

        Raises:
            InvalidRequestError: that is not possible.
        """
        listener = cls(serve)
        try:
            sock = await _bound(host, port)
        except (OSError, UnicodeError) as error:  # the latter for what can be no host's name
            reason = getattr(error, "strerror", None) or error
            raise InvalidRequestError(
                f"{op}: cannot listen at {host}:{port}: {reason}", op=op
            ) from error
        listener.host, listener.port = sock.getsockname()[:2]
        listener._server = await asyncio.start_server(
            listener._accepted, sock=sock, limit=BUFFER, backlog=512
        )
        inherited.add(listener)
        return listener

    async def close(self) -> None:
        """Listen no more, and end the connections. Idempotent; nothing in a forked child."""
        inherited.discard(self)
        if self._pid != os.getpid() or self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        tasks = [*self._open]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def held_sockets(self) -> Iterator[Any]:
        """What a forked child lets go of (see `forking`)."""
        if self._server is not None:
            yield from self._server.sockets
        for writer in self._open.values():
            found = writer.get_extra_info("socket")
            if found is not None:
                yield found

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._open) >= MAX_CONNECTIONS:
            reset(writer)
            return
        found = writer.get_extra_info("socket")
        if found is not None:
            # asyncio does this only where the socket was made with the protocol's number.
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that what was drained is on its way: nothing is left to be lost by a close.
        writer.transport.set_write_buffer_limits(high=0)
        task = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._open[task] = writer
        task.add_done_callback(lambda task: self._open.pop(task, None))

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except ConnectionError:
            reset(writer)  # one side is gone; the other is told by this
        except BaseException:
            reset(writer)
            raise
        else:
            writer.close()


async def _bound(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server(address[:2], family=family, backlog=512)
