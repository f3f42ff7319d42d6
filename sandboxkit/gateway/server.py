"""A gateway as a server of its own: its socket, its loop, its end."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

from ..errors import InvalidRequestError

__all__ = ["listen", "server"]

SHUTDOWN = 3
"""Seconds that requests may still take when the server is told to end."""


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address; port 0 is any that is free.

    Raises:
        InvalidRequestError: it is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, for asyncio sends small answers at once only where it knows that this is TCP.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
    except (OSError, OverflowError) as error:
        made.close()
        raise InvalidRequestError(
            f"serve: it is not possible to listen at {host}:{port}: {error}",
            hint="sandboxkit serve --port 0",
        ) from error
    return made


def server(app: ASGIApp) -> uvicorn.Server:
    """What runs an application until it is told to end. It is up once its lifespan began."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            http="h11",
            ws="websockets-sansio",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN,
            h11_max_incomplete_event_size=64 << 10,
            ws_max_size=16 << 20,
            proxy_headers=False,
        )
    )
