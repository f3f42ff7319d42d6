"""An HTTP server that knows three answers and does nothing: what a client costs by itself.

``python benchmarks/bare_server.py`` prints its port. It answers calls of E2B's wire with the bytes
that the gateway would send, so that the time of a call here is the client's alone, and the
kernel's.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct

SIZE = 1024
"""Bytes of every file."""


def frame(message: object, flags: int = 0) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack(">BI", flags, len(body)) + body


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/connect+json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
STARTED = STREAM + chunk(frame({"event": {"start": {"pid": 42}}}))
END = {"exited": True, "status": "exit status 0"}
ENDED = chunk(frame({"event": {"end": END}}) + frame({}, 2)) + b"0\r\n\r\n"
FILE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n"
    % (SIZE)
)
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Bare(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        head, end, body = self._waiting.partition(b"\r\n\r\n")
        if not end:
            return
        length = LENGTH.search(head)
        if length is None and b"chunked" in head.lower():
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif length is not None and len(body) < int(length[1]):
            return
        self._waiting = b""
        if head.startswith(b"GET"):
            self._transport.write(FILE + b"x" * SIZE)
        else:
            self._transport.write(STARTED)
            asyncio.get_running_loop().call_soon(self._transport.write, ENDED)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
