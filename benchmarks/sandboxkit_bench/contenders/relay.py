"""A program that makes a network long: it passes bytes on, each after half a round-trip time.

    python -m sandboxkit_bench.contenders.relay PORT ROUND_TRIP

It prints the port that it listens at, and ends with its standard input. What is sent on a new
connection waits for one more round trip, as it would for the handshake of TCP.
"""

from __future__ import annotations

import asyncio
import sys

__all__ = ["main"]

PIECE = 1 << 16


async def pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float, ready: float
) -> None:
    """Pass on what comes, in order, as late as a long line would.

    Args:
        source: where it comes from.
        sink: where it goes.
        delay: seconds that each piece is under way.
        ready: when the line is there, by the loop's clock.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

    async def deliver() -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                break
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    delivering = asyncio.create_task(deliver())
    try:
        piece = b"-"
        while piece:
            piece = await source.read(PIECE)
            await pieces.put((max(loop.time(), ready) + delay, piece))
        await delivering
    finally:
        delivering.cancel()


async def serve(port: int, round_trip: float) -> None:
    """Relay until standard input ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = asyncio.get_running_loop().time() + round_trip
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        half = round_trip / 2
        try:
            await asyncio.gather(
                pump(reader, there_writer, half, ready), pump(there_reader, writer, half, 0.0)
            )
        except OSError:
            pass  # one side has gone: so does the other
        finally:
            writer.close()
            there_writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    server.close()


def main() -> None:
    """Run the program."""
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))


if __name__ == "__main__":
    main()
