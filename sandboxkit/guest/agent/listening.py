"""Which TCP ports are listened at, as the kernel tells it."""

from __future__ import annotations

import socket
import sys
from typing import Iterator, List, Set, Tuple

_TABLES = (("/proc/self/net/tcp", socket.AF_INET), ("/proc/self/net/tcp6", socket.AF_INET6))
_LISTEN = "0A"
_MOST = 20


def describe() -> str:
    """The ports that are listened at, for people; those that we do not reach with their address."""
    found: Set[Tuple[int, str]] = set()
    for path, family in _TABLES:
        found.update(_listeners(path, family))
    if not found:
        return "nothing listens"
    told: List[str] = []
    for port, address in sorted(found):
        text = str(port) if _is_reached(address) else f"{port} (only at {address})"
        if text not in told:
            told.append(text)
    more = ", …" if len(told) > _MOST else ""
    return f"what listens: {', '.join(told[:_MOST])}{more}"


def _listeners(path: str, family: int) -> Iterator[Tuple[int, str]]:
    try:
        with open(path, encoding="ascii") as table:
            lines = table.readlines()[1:]
    except OSError:
        return  # there is no such family, or no /proc
    for line in lines:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            yield int(port, 16), _address(address, family)


def _address(text: str, family: int) -> str:
    # Words of four bytes, each printed as a number of the machine's own byte order.
    words = (int(text[start : start + 8], 16) for start in range(0, len(text), 8))
    return socket.inet_ntop(family, b"".join(word.to_bytes(4, sys.byteorder) for word in words))


def _is_reached(address: str) -> bool:
    return address in ("0.0.0.0", "127.0.0.1", "::", "::1")
