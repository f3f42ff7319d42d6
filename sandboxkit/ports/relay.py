"""Bytes both ways between a connection of this machine and one to a sandbox's port."""

from __future__ import annotations

import asyncio

from ..provider import PortStream

__all__ = ["relay"]

CHUNK = 65536


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    stream: PortStream,
    *,
    first_in: bytes = b"",
    first_out: bytes = b"",
) -> None:
    """Copy until both directions have ended; the end of one is passed on alone.

    Args:
        reader: the client's bytes.
        writer: to the client.
        stream: the port.
        first_in: what the client has sent already.
        first_out: what the port has sent already.

    Raises:
        ConnectionError: one side broke off; the other must be told by a reset.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_inward(reader, stream, first_in))
            group.create_task(_outward(stream, writer, first_out))
    except* ConnectionError as failed:
        raise _first(failed) from None


async def _inward(reader: asyncio.StreamReader, stream: PortStream, data: bytes) -> None:
    try:
        if data:
            await stream.send(data)
        while data := await reader.read(CHUNK):
            await stream.send(data)
    except BrokenPipeError:
        return  # it takes no more; what it still says is for `_outward`
    await stream.send_eof()


async def _outward(stream: PortStream, writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        if data:
            writer.write(data)
            await writer.drain()
        data = await stream.receive()
        if not data:
            break
    try:
        writer.write_eof()
    except OSError as error:  # ENOTCONN: whoever asked has reset the connection meanwhile
        raise ConnectionResetError(error.errno, "the connection was reset") from error


def _first(group: BaseExceptionGroup[BaseException]) -> ConnectionError:
    for error in group.exceptions:
        if isinstance(error, ConnectionError):
            return error
    return ConnectionAbortedError("the connection broke")
