"""Bytes from one socket to another, and both ways, with no more held than one piece of each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, Awaitable, Callable, Coroutine, Optional, Set

from .heads import CHUNKED, Refusal
from .inlet import CHUNK, Inlet

__all__ = ["Relay", "close_hard"]

HALF_CLOSED = 120.0
"""Seconds without a byte after which a connection ends of which one direction has ended."""


def close_hard(sock: socket.socket) -> None:
    """Close so that the other side sees a reset, not an end that it may take for a good one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Relay:
    """The way through the proxy, once it is known where it leads.

    Args:
        client: of the sandbox.
        inlet: what it sends, some of which may have been read already.
        server: connected to where it wants to go.
    """

    def __init__(self, client: socket.socket, inlet: Inlet, server: socket.socket) -> None:
        self.answers = Inlet(server)
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._inlet = inlet
        self._server = server
        self._moved = 0
        self._deaf = False

    async def tunnel(self) -> None:
        """Copy whatever comes, until both directions have ended.

        Raises:
            OSError: one of the sides broke off.
        """
        there = self._copy(self._inlet, self._server)
        await self._both(there, self._copy(self.answers, self._client), either=False)

    async def exchange(
        self, head: bytes, length: int, begin: "Callable[[Relay], Awaitable[None]]"
    ) -> None:
        """Send on one request, and all of the answer.

        Args:
            head: of the request.
            length: bytes of its body, or `CHUNKED`.
            begin: sends on the answer's head.

        Raises:
            OSError: one of the sides broke off.
            Refusal: the body is malformed.
        """
        await self._send(head)
        await self._both(self._send_body(length), self._answer(begin), either=True)

    async def to_client(self, data: bytes) -> None:
        """Send something that did not come from the server, or not as it is."""
        self._moved += len(data)
        await self._loop.sock_sendall(self._client, data)

    async def _send_body(self, length: int) -> None:
        if length == CHUNKED:
            while True:
                size = await self._inlet.chunk_size()
                await self._send(b"%x\r\n" % size)
                await self._copy_exactly(size)
                await self._send(b"\r\n")
                if not size:
                    break
                if await self._inlet.line():
                    raise Refusal(400, "a chunk is longer than it says")
        else:
            await self._copy_exactly(length)
        # Another request may follow, which nobody has checked: it goes nowhere.
        while await self._inlet.some():
            self._moved += 1

    async def _answer(self, begin: "Callable[[Relay], Awaitable[None]]") -> None:
        await begin(self)
        await self._copy(self.answers, self._client)

    async def _copy_exactly(self, count: int) -> None:
        while count:
            data = await self._inlet.some(count)
            if not data:
                raise ConnectionResetError("the client ended in the middle of a body")
            count -= len(data)
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        self._moved += len(data)
        if not self._deaf:
            try:
                await self._loop.sock_sendall(self._server, data)
            except OSError:
                self._deaf = True  # it takes no more, and may have answered all the same

    async def _copy(self, source: Inlet, sink: socket.socket) -> None:
        while True:
            data = await source.some(CHUNK)
            if not data:
                break
            self._moved += len(data)
            await self._loop.sock_sendall(sink, data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    async def _both(
        self,
        there: Coroutine[Any, Any, None],
        back: Coroutine[Any, Any, None],
        *,
        either: bool,
    ) -> None:
        """Wait until both directions have ended, or where that will do, the way back has."""
        returning = self._loop.create_task(back)
        pending = {self._loop.create_task(there), returning}
        patience: Optional[float] = None
        try:
            while pending and not (either and returning.done()):
                moved = self._moved
                done, pending = await asyncio.wait(
                    pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
                if not done and moved == self._moved:
                    raise ConnectionAbortedError("nothing moves any more")
                patience = HALF_CLOSED
        finally:
            await _cancel(pending)


async def _cancel(tasks: "Set[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
