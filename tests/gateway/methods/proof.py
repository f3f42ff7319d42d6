"""What a proof works with: the SDK, and our own interface to the same sandbox."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass

import sandboxkit
from tests.gateway.conftest import Served
from tests.gateway.methods.book import Book, Traced

PROFILE = "local"


@dataclass
class Proof:
    """What a proof works with.

    Attributes:
        book: where it writes.
        asynchronous: which of the two SDKs it is.
        sandbox: one of the SDK's.
        ours: the same, by our own interface.
        kinds: the SDK's classes.
        served: the gateway.
        mark: the metadata of the sandbox, which nobody else's have.
    """

    book: Book
    asynchronous: bool
    sandbox: Traced
    ours: sandboxkit.Sandbox
    kinds: dict[str, Traced]
    served: Served
    mark: dict[str, str]

    def works(self, name: str, seen: object) -> None:
        self.book.works(name, seen)

    def traced(self, name: str, target: object) -> Traced:
        return Traced(self.book, name, target)

    async def until(self, seen: Callable[[], Awaitable[bool] | bool]) -> bool:
        """Whether something is seen before long; for effects that come a little later."""
        for _ in range(400):
            result = seen()
            if await result if isinstance(result, Awaitable) else result:
                return True
            await asyncio.sleep(0.025)
        return False

    def text(self, path: str) -> str:
        return self.ours.files.read_text(path) if self.ours.files.exists(path) else ""

    def runs(self, pid: int) -> bool:
        return pid in [one.pid for one in self.ours.processes() if one.running]

    def ask(self, host: str) -> bytes:
        """What a port of the sandbox says, asked by its host name."""
        with closing(http.client.HTTPConnection(*self.served.host(), timeout=20)) as connection:
            connection.request("GET", "/served", headers={"Host": host})
            return connection.getresponse().read()
