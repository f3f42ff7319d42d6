"""The one line of JSON that a container's first process is told, and the one that it answers."""

from __future__ import annotations

import json
import os
from typing import Any, Dict

__all__ = ["read_orders", "say"]

_MAX_ORDERS = 1 << 20


def read_orders() -> Dict[str, Any]:
    """Read standard input; ends the process if whoever made us is gone."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1 << 16)
        if not data or len(line) > _MAX_ORDERS:
            os._exit(1)
        line += data
    orders: Dict[str, Any] = json.loads(line)
    return orders


def say(message: Dict[str, str]) -> None:
    """Write to standard output."""
    os.write(1, json.dumps(message).encode() + b"\n")
