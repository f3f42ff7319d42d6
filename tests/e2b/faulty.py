"""A connection to a server that goes wrong on purpose, once or for a while."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["never sent", "answer lost", "cut"]


@dataclass
class Fault:
    """What happens to requests whose first line is matched.

    Attributes:
        request: a pattern of it, such as ``POST /v2/sandboxes ``.
        way: the connection ends before anything was sent; when the answer begins; or in its midst.
        times: to how many of them.
        answer: sent instead of all that, if there is one.
        seen: how many were matched.
    """

    request: str
    way: Way = "never sent"
    times: int = 1
    answer: bytes = b""
    seen: int = 0


@dataclass
class Proxy:
    """Passes bytes on to a server.

    Attributes:
        url: where it listens.
        faults: what goes wrong.
        reached: the first lines of requests that reached the server.
    """

    port: int
    faults: list[Fault] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, request: str) -> int:
        return sum(bool(re.match(request, line)) for line in self.reached)

    def cut(self) -> None:
        """End all connections at once, as a network does."""
        for end in self.open:
            _reset(end)
        self.open.clear()

    def _fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if re.match(fault.request, line):
                fault.seen += 1
                if fault.seen <= fault.times:
                    return fault
        return None

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        self.open += [client, server]
        lost = threading.Event()
        threading.Thread(target=self._answers, args=(server, client, lost), daemon=True).start()
        with suppress(OSError):
            while data := client.recv(1 << 16):
                # Clients here write a request's head at once, and wait for its answer.
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                if re.fullmatch(r"[A-Z]+ \S+ HTTP/1\.1", line):
                    fault = self._fault(line)
                    if fault is not None and fault.answer:
                        client.sendall(fault.answer)
                        break
                    if fault is not None and fault.way == "never sent":
                        break
                    self.reached.append(line)
                    if fault is not None and fault.way == "answer lost":
                        lost.set()
                server.sendall(data)
        _reset(client)
        _reset(server)

    def _answers(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    break
                client.sendall(data)
        _reset(client)
        _reset(server)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        end.close()


@contextmanager
def between(host: str, port: int) -> Iterator[Proxy]:
    """A proxy to this server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection((host, port))
                    threading.Thread(target=proxy.serve, args=(client, server), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            proxy.cut()
