"""The messages between the agent and an interpreter: four bytes of length, then JSON."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Dict, Optional

__all__ = ["HEADER", "Channel", "encode"]

HEADER = 4
"""Bytes of a message's length."""


def encode(message: Dict[str, Any]) -> bytes:
    """A message as it travels."""
    body = json.dumps(message).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


class Channel:
    """The interpreter's end: blocking, one reader.

    Args:
        fd: of a connected stream socket.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def receive(self) -> Optional[Dict[str, Any]]:
        """Wait for the next message; ``None`` is the end."""
        header = self._read(HEADER)
        if header is None:
            return None
        body = self._read(int.from_bytes(header, "big"))
        if body is None:
            return None
        message: Dict[str, Any] = json.loads(body)
        return message

    def send(self, *messages: Dict[str, Any]) -> None:
        """Send messages, at once if they fit; waits while the agent does not read.

        Raises:
            OSError: the agent is gone.
        """
        data = memoryview(b"".join(map(encode, messages)))
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Let go of the socket, once: its number may be another file's afterwards."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # a cell may have closed it
                os.close(fd)

    def _read(self, size: int) -> Optional[bytes]:
        data = bytearray()
        while len(data) < size:
            piece = os.read(self._fd, size - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)
