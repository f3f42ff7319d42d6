"""A proxy that runs as it does beside a sandbox: a process with a socket to accept from."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, socket, sys, types
for name in ("sandboxkit",):  # without all that the real package imports
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{root!r} + "/" + name]
from sandboxkit.egress import exchange, lookup, proxy, relay
{preamble}
proxy.serve(socket.socket(fileno={listener}), {rules!r}, socket.socket(fileno={lifeline}))
os._exit(0)
"""


@dataclass
class Proxy:
    """One of them.

    Attributes:
        port: of the loopback, where it accepts.
        process: what runs it.
        lifeline: its end is the proxy's.
    """

    port: int
    process: subprocess.Popen[str]
    lifeline: socket.socket

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(20)
        return sock

    def ask(self, request: bytes) -> bytes:
        """All that is answered to one connection's bytes."""
        with self.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(request)
            return rest(sock)

    def tunnel(self, target: str) -> socket.socket:
        sock = self.connect()
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = sock.recv(1)
            assert data, answer
            answer += data
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return sock

    def peak(self) -> int:
        """Bytes of memory that it has used at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10


def rest(sock: socket.socket) -> bytes:
    """What still comes, up to the end or a reset."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65_536):
            found += data
    return found


@contextlib.contextmanager
def proxy(*rules: str, preamble: str = "", python: str = sys.executable) -> Iterator[Proxy]:
    """Run one; it must not have had a bug of its own.

    Args:
        rules: what may be reached.
        preamble: runs in its process before it serves.
        python: by which interpreter.
    """
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, ours:
        with theirs:
            program = PROGRAM.format(
                root=str(ROOT),
                preamble=preamble,
                rules=rules,
                listener=listener.fileno(),
                lifeline=theirs.fileno(),
            )
            process = subprocess.Popen(
                [python, "-I", "-c", program],
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[listener.fileno(), theirs.fileno()],
            )
        port = listener.getsockname()[1]
        listener.close()
        try:
            yield Proxy(port, process, ours)
        finally:
            ours.close()
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, ""), said


@dataclass
class Server:
    """Somebody to be reached.

    Attributes:
        port: where, on every address of this machine.
        received: what was sent to it, by connection.
    """

    port: int = 0
    received: list[bytearray] = field(default_factory=list)


@contextlib.contextmanager
def server(serve: Callable[[socket.socket, bytearray], None], host: str = "") -> Iterator[Server]:
    """Serve each connection by a function, which has a place for what it receives."""
    found = Server()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    threads = []

    def one(connection: socket.socket, received: bytearray) -> None:
        with connection, contextlib.suppress(ConnectionError):
            serve(connection, received)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            received = bytearray()
            found.received.append(received)
            thread = threading.Thread(target=one, args=(connection, received), daemon=True)
            threads.append(thread)
            thread.start()

    with socket.create_server((host, 0), family=family, backlog=256) as listener:
        found.port = listener.getsockname()[1]
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield found
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def echo(connection: socket.socket, received: bytearray) -> None:
    """Send everything back, and the end after it."""
    while data := connection.recv(65_536):
        received += data
        connection.sendall(data)
    with contextlib.suppress(OSError):  # the other side has gone altogether
        connection.shutdown(socket.SHUT_WR)


def answering(answer: bytes) -> Callable[[socket.socket, bytearray], None]:
    """Answer a request, however large, and wait for the other side to hang up or say more."""

    def serve(connection: socket.socket, received: bytearray) -> None:
        while b"\r\n\r\n" not in received:
            data = connection.recv(65_536)
            if not data:
                return
            received += data
        connection.sendall(answer)
        connection.settimeout(0.3)  # what is still sent would have come by then
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(65_536):
                received += data

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
