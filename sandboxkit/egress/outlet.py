"""The sandbox's side: where the proxy is found, and the variables that say so."""

from __future__ import annotations

import socket
from typing import Dict

__all__ = ["PORT", "listen", "variables"]

PORT = 3128
"""Of the loopback of every sandbox with rules; always the same, for what is written in files."""

_HERE = "127.0.0.1"
_BACKLOG = 256


def variables() -> Dict[str, str]:
    """The variables by which programs find a proxy, in both of the usual spellings."""
    url = f"http://{_HERE}:{PORT}"
    found = {"no_proxy": f"localhost,{_HERE},::1", "NODE_USE_ENV_PROXY": "1"}
    found.update({f"{scheme}_proxy": url for scheme in ("http", "https", "all")})
    found.update({name.upper(): value for name, value in list(found.items())})
    return found


def listen() -> socket.socket:
    """The socket that the proxy accepts from; to be made in the sandbox's own network.

    Raises:
        OSError: it cannot be made.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HERE, PORT))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
