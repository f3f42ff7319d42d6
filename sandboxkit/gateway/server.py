"""A gateway as a server of its own: its socket, its loop, its end."""

from __future__ import annotations

import resource
import signal
import socket
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InvalidRequestError, SandboxError
from .opening import OpeningProtocol
from .patience import HEAD, PatientProtocol

__all__ = ["Server", "listen", "raise_descriptors"]

IDLE = 310
"""Seconds for which a connection is kept between two requests.

E2B's SDK keeps one for 300. Who closes first must be the client: a request that meets a connection
which the server is closing is lost, and the SDK does not send it again.
"""
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


def raise_descriptors() -> None:
    """Allow this process as many descriptors as it may have: every client takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server(uvicorn.Server):
    """What runs an application until it is told to end. It is up once its lifespan began.

    Args:
        app: what to run.
        head: seconds that a client may take for the head of a request.

    Attributes:
        failure: why the application could not begin, which uvicorn would only log.
        ended_by: the signal that told it to end.
    """

    def __init__(self, app: ASGIApp, head: float = HEAD) -> None:
        self._app = app
        self._begun = False
        self.failure: SandboxError | None = None
        self.ended_by: int | None = None
        super().__init__(
            uvicorn.Config(
                self._watched,
                interface="asgi3",
                log_level="warning",
                access_log=False,
                lifespan="on",
                http=partial(PatientProtocol, head=head),  # type: ignore[arg-type]
                ws=OpeningProtocol,
                server_header=False,
                timeout_keep_alive=IDLE,
                timeout_graceful_shutdown=SHUTDOWN,
                ws_max_size=16 << 20,
                proxy_headers=False,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, but leave the signal to who runs this: uvicorn raises it again in the loop."""
        self.force_exit = self.ended_by is not None and sig == signal.SIGINT
        self.should_exit = True
        self.ended_by = sig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin; if that fails, be over, where uvicorn would end the process."""
        try:
            await super().startup(sockets)
        except SystemExit:
            if self.failure is None:
                raise
            self.should_exit = True

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            self._begun = self._begun or message["type"] == "lifespan.startup.complete"
            await send(message)

        try:
            await self._app(scope, receive, told)
        except SandboxError as error:
            if self._begun:
                raise
            self.failure = error
            await send({"type": "lifespan.startup.failed"})
