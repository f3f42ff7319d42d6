"""Names to addresses, by this machine's own resolver."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures.thread import ThreadPoolExecutor
from typing import List

from . import addresses
from .addresses import Address
from .heads import Refusal

__all__ = ["Lookup"]

_AT_ONCE = 16
_TIME = 20.0  # seconds; a thread that waits longer is left to its own


class Lookup:
    """Looks names up, a few at a time, for the resolver's functions block."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_AT_ONCE)

    async def addresses(self, name: str, port: int) -> List[Address]:
        """The addresses of a name, in the resolver's order; none if there is no such name.

        Raises:
            Refusal: the resolver does not answer.
        """
        asking = self._loop.run_in_executor(self._threads, _ask, name, port)
        try:
            return await asyncio.wait_for(asking, _TIME)
        except asyncio.TimeoutError:
            raise Refusal(504, f"{name}: no answer from the resolver in {_TIME:g} s") from None


def _ask(name: str, port: int) -> List[Address]:
    try:
        # As bytes: text would go through a codec, and that may be out of reach by now.
        found = socket.getaddrinfo(name.encode("ascii"), port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    # A zone, such as that in fe80::1%eth0, is about a link, and of no name that we would follow.
    parsed = (addresses.parse(str(entry[4][0]).partition("%")[0]) for entry in found)
    return list(dict.fromkeys(address for address in parsed if address is not None))
