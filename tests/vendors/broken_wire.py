"""A wire that breaks where it is told to: all is passed on, but for the requests that are named."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

__all__ = [
    "Fault",
    "Rule",
    "Wire",
    "answered",
    "cut_off",
    "dropped",
    "slowed",
    "unsent",
    "wire_beside",
    "wire_to",
]

Fault = Callable[["Passing", bytes], Awaitable[None]]


@dataclass
class Rule:
    """What is to go wrong.

    Attributes:
        head: how the requests begin that it is for; ``None`` is for what is sent beside them, as
            over a WebSocket.
        fault: what happens to one.
        times: how often.
        seen: how many such requests there were.
    """

    head: bytes | None
    fault: Fault
    times: int = 1
    seen: int = 0

    def is_for(self, line: bytes | None) -> bool:
        """Whether it is for a request, or for what is sent beside them."""
        if line is None or self.head is None:
            return line is None and self.head is None
        return line.startswith(self.head)


class Passing:
    """One connection of a client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def reset(self) -> None:
        """Let both sides see that the other is gone."""
        for writer in (self.writer, self.server[1] if self.server else None):
            if writer is not None:
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


class Wire:
    """Between clients and a server.

    Attributes:
        rules: what is to go wrong.
        heads: the first line of each request.
        reached: of each that nothing was wrong with, or that the server heard of all the same.
    """

    def __init__(self, host: str, port: int) -> None:
        self.rules: list[Rule] = []
        self.heads: list[bytes] = []
        self.reached: list[bytes] = []
        self._to = (host, port)
        self._loop = asyncio.get_running_loop()
        self._open: set[Passing] = set()

    def count(self, head: bytes) -> int:
        """How many such requests the server has heard of."""
        return sum(line.startswith(head) for line in self.reached)

    def cut(self) -> None:
        """Break all connections that are open. Any thread may."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for passing in [*self._open]:
            passing.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        passing = Passing(reader, writer)
        self._open.add(passing)
        back = None
        try:
            passing.server = await asyncio.open_connection(*self._to)
            back = asyncio.create_task(copied(passing.server[0], writer))
            while data := await reader.read(1 << 16):
                fault = self._fault(data)
                if fault is not None:
                    back.cancel()
                    await asyncio.wait({back})
                    await fault(passing, data)
                    break
                passing.server[1].write(data)
                await passing.server[1].drain()
        except OSError:
            pass
        finally:
            self._open.discard(passing)
            if back is not None:
                back.cancel()
            for one in (writer, passing.server[1] if passing.server else None):
                if one is not None:
                    one.close()

    def _fault(self, data: bytes) -> Fault | None:
        line = data.partition(b"\r\n")[0]
        if not line.endswith(b" HTTP/1.1"):
            return self._named(None)
        self.heads.append(line)
        fault = self._named(line)
        if fault in (None, dropped, cut_off, slowed):
            self.reached.append(line)
        return fault

    def _named(self, line: bytes | None) -> Fault | None:
        """What is to go wrong with a request, or with what is sent beside them."""
        for rule in self.rules:
            if rule.is_for(line):
                rule.seen += 1
                if rule.seen <= rule.times:
                    return rule.fault
        return None


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


def answered(status: str, body: bytes = b"", headers: str = "") -> Fault:
    """Another answer than the server's, which hears nothing of the request."""

    async def fault(passing: Passing, data: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n"
        passing.writer.write(head.encode() + b"\r\n" + body)
        await passing.writer.drain()

    return fault


async def unsent(passing: Passing, data: bytes) -> None:
    """The connection breaks before the server hears of it."""
    passing.reset()


async def dropped(passing: Passing, data: bytes) -> None:
    """The server does what it is asked to, and its answer is lost."""
    assert passing.server is not None
    reader, writer = passing.server
    writer.write(data)
    await writer.drain()
    more = asyncio.create_task(copied(passing.reader, writer))  # what is left of the request
    await reader.read(1)
    more.cancel()
    passing.reset()


async def cut_off(passing: Passing, data: bytes) -> None:
    """The server's answer ends in the middle."""
    assert passing.server is not None
    reader, writer = passing.server
    writer.write(data)
    await writer.drain()
    passing.writer.write((await reader.read(1 << 16))[:-10])
    await passing.writer.drain()
    passing.reset()


async def slowed(passing: Passing, data: bytes) -> None:
    """The server's answer begins, and does not go on."""
    assert passing.server is not None
    reader, writer = passing.server
    writer.write(data)
    await writer.drain()
    passing.writer.write((await reader.read(1 << 16))[:-10])
    await passing.writer.drain()
    await passing.reader.read()  # until the client has had enough


@contextlib.asynccontextmanager
async def wire_to(host: str, port: int) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to a server, and where it begins."""
    wire = Wire(host, port)
    listening = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    try:
        yield wire, f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        wire.cut()


@contextlib.contextmanager
def wire_beside(host: str, port: int) -> Iterator[tuple[Wire, str]]:
    """The same beside a test that blocks, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    whole = wire_to(host, port)
    try:
        yield asyncio.run_coroutine_threadsafe(whole.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(whole.__aexit__(None, None, None), loop).result(10)
        asyncio.run_coroutine_threadsafe(_settled(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settled() -> None:
    """Wait for all else that this loop does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        await asyncio.wait(tasks)
