"""A WebSocket server for a sandbox that has only the standard library: it echoes."""

import base64
import hashlib
import socket
import struct
import threading
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(one: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += one.recv(4096)
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line]
    fields = {name.lower(): value for name, value in lines}
    key = hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest()
    answer = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + base64.b64encode(key),
    ]
    if b"sec-websocket-protocol" in fields:
        answer.append(
            b"Sec-WebSocket-Protocol: " + fields[b"sec-websocket-protocol"].split(b",")[0]
        )
    one.sendall(b"\r\n".join([*answer, b"", b""]))
    if head.startswith(b"GET /late "):  # as one that is busy, but says that it is there
        for _ in range(20):
            one.sendall(b"\x89\x00")
            time.sleep(0.02)
    stream = one.makefile("rb")
    opcode = 0
    while opcode != 8:
        opcode = echo(stream, one)


def echo(stream: "socket.SocketIO", one: socket.socket) -> int:
    first, second = stream.read(2)
    length = second & 127
    extra = {126: ">H", 127: ">Q"}.get(length)
    more = stream.read(struct.calcsize(extra)) if extra else b""
    size = struct.unpack(extra, more)[0] if extra else length
    mask = stream.read(4)
    data = stream.read(size)
    plain = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    one.sendall(bytes([first, length]) + more + plain.to_bytes(size, "big"))
    return first & 15


listener = socket.create_server(("127.0.0.1", 8001))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
