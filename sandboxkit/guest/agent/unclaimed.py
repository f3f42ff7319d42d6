"""A sandbox that was made before it was asked for: how it waits, and how it becomes somebody's.

Its maker has it made like any other, and then sends ``{"do":"settle","agent":{...}}`` with the
first client's socket; the reasons are in docs/decisions/0040-a-prepared-sandbox.md.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable, Dict, Optional

from . import frames
from .config import AgentConfig
from .loop import READABLE
from .server import Server

__all__ = ["Settle", "rehearse", "settled"]

Settle = Callable[[AgentConfig], Optional[Dict[str, Any]]]
"""Makes ready what only now is known to be wanted; returns the event that says why it cannot be."""

_REPLY = 65_536


def settled(config: AgentConfig, order: Dict[str, Any]) -> AgentConfig:
    """What the agent is told of its sandbox once that is somebody's.

    Args:
        config: as it was made.
        order: what its maker says now.
    """
    known = {name: value for name, value in order.items() if name in AgentConfig._fields}
    return config._replace(**known)


def rehearse(server: Server) -> None:
    """Greet the agent as a client does, so that its memory is its own before anybody waits.

    A fork copies each page when it first writes there, and Python writes wherever it looks.
    """
    client, agent = socket.socketpair()
    client.setblocking(False)
    server.accept(agent)
    hello = {"major": frames.MAJOR, "minor": frames.MINOR, "token": server.config.token}
    client.send(frames.encode_json(frames.HELLO, 0, hello))
    client.send(frames.encode_json(frames.OPEN, 1, {"op": "ping"}))
    number = client.fileno()

    def answered(_events: int) -> None:
        os.read(number, _REPLY)
        server.loop.unwatch(number)
        client.close()

    server.loop.watch(number, READABLE, answered)
