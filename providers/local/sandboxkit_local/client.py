"""Asking the daemon, from an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from sandboxkit.errors import InvalidRequestError, TransportError

from . import codes, start, wire
from .paths import Paths
from .peer import Peer

__all__ = ["DaemonClient"]

Answer = tuple[dict[str, Any], list[int]]


class DaemonClient:
    """One connection to the daemon, made when first needed and again when it was lost.

    Args:
        paths: which daemon.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._numbers = itertools.count(1)
        self._peer: Peer | None = None
        self._pid = 0
        self._connecting: asyncio.Task[Peer] | None = None
        self._pending: dict[int, asyncio.Future[Answer]] = {}

    async def ask(self, do: str, **fields: Any) -> Answer:
        """Send a request and wait for what it results in, and descriptors that are the caller's.

        Raises:
            SandboxError: what the daemon answered.
            TransportError: the daemon died before it did.
        """
        number = next(self._numbers)
        message = {"id": number, "do": do, **fields}
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            if not self._send(await self._connected(), number, message, future):
                # The daemon is gone and the loop had no time to notice; nothing was sent.
                self.close()
                if not self._send(await self._connected(), number, message, future):
                    raise TransportError("the daemon ended", outcome="not_started", retryable=True)
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                wire.close_all(future.result()[1])
            raise
        finally:
            self._pending.pop(number, None)

    async def tell(self, do: str, **fields: Any) -> None:
        """Send what has no reply; nothing happens if the daemon is gone."""
        if self._peer is not None and not self._peer.closed and self._pid == os.getpid():
            with contextlib.suppress(OSError):
                self._peer.send({"do": do, **fields})

    async def pages(self, do: str, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """Every record of a listing."""
        after, more = None, True
        while more:
            result, _ = await self.ask(do, after=after, **fields)
            for item in result["items"]:
                after = item["id"]
                yield item
            more = result["more"]

    def close(self) -> None:
        """Hang up. Idempotent."""
        if self._peer is not None and self._pid == os.getpid():
            self._peer.close()
        self._peer = None
        self._lose()

    def _send(
        self, peer: Peer, number: int, message: dict[str, Any], future: asyncio.Future[Answer]
    ) -> bool:
        """Send a request; false if the other side is gone."""
        try:
            peer.send(message)
        except wire.Garbage as error:
            raise InvalidRequestError(f"the request is too large: {error}") from error
        except OSError:
            return False
        self._pending[number] = future
        return True

    async def _connected(self) -> Peer:
        if self._peer is not None and not self._peer.closed and self._pid == os.getpid():
            return self._peer
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connection_tried)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Peer:
        sock: socket.socket = await asyncio.to_thread(start.connect, self._paths)
        self._pid = os.getpid()
        self._peer = Peer(sock, self._message, self._ended)
        return self._peer

    def _ended(self, error: Exception | None) -> None:
        self._lose()

    def _connection_tried(self, task: asyncio.Task[Peer]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # those who wait have got it too

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        future = self._pending.get(message.get("id", 0))
        if future is None or future.done():
            wire.close_all(fds)
        elif "error" in message:
            wire.close_all(fds)
            future.set_exception(codes.from_wire(message["error"]))
        else:
            future.set_result((message["result"], fds))

    def _lose(self) -> None:
        for future in self._pending.values():
            if not future.done():
                # Every sandbox died with it, so that asking the next one repeats nothing.
                error = TransportError("the daemon died", outcome="not_started", retryable=True)
                future.set_exception(error)
