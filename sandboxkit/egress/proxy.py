"""Accepting the connections of one sandbox, for as long as it lives."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Iterable, Set

from .exchange import Exchange
from .lookup import Lookup
from .rules import Rules

__all__ = ["serve"]

MAX_CONNECTIONS = 256
"""At once; more wait until one ends. Each takes two descriptors."""

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def serve(listener: socket.socket, rules: Iterable[str], lifeline: socket.socket) -> None:
    """Be the proxy of one sandbox. The caller then ends the process, with `os._exit`.

    Args:
        listener: a TCP socket of the sandbox's, which listens.
        rules: what it may reach.
        lifeline: a stream or packet socket; its end is the sandbox's end.

    Raises:
        ValueError: the rules are none, or the listener is none.
    """
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError("the sandbox's socket does not listen")
    listener.setblocking(False)
    lifeline.setblocking(False)
    asyncio.run(_serve(listener, Rules(rules), lifeline))


async def _serve(listener: socket.socket, rules: Rules, lifeline: socket.socket) -> None:
    proxy = asyncio.get_running_loop().create_task(Proxy(listener, rules).accept())
    ended = asyncio.get_running_loop().create_task(_outlast(lifeline))
    await asyncio.wait({proxy, ended}, return_when=asyncio.FIRST_COMPLETED)
    if proxy.done():
        proxy.result()


async def _outlast(lifeline: socket.socket) -> None:
    try:
        while await asyncio.get_running_loop().sock_recv(lifeline, 4096):
            pass
    except OSError:
        return


class Proxy:
    """All connections of one sandbox.

    Args:
        listener: accepts them.
        rules: what they may reach.
    """

    def __init__(self, listener: socket.socket, rules: Rules) -> None:
        self._listener = listener
        self._rules = rules
        self._lookup = Lookup()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._running: Set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        """Accept for ever, as many at a time as there is room for."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                self._room.release()
                if error.errno in _NO_ROOM:
                    await self._wait_for_room()
                continue
            task = loop.create_task(Exchange(client, self._rules, self._lookup).run())
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._room.release()

    async def _wait_for_room(self) -> None:
        if not self._running:
            raise OSError(errno.EMFILE, "there is no room for a single connection")
        await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)
