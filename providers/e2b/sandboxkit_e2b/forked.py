"""HTTP for a process that was forked.

The SDK's HTTP client works in threads of its own, which a forked child does not have: what it is
asked there would wait for ever. In a child, and only there, what the SDK has put around that client
is given one that works in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from e2b.api import ProxyConfig, client_async
from pyqwest import Headers, Request, Response

__all__ = ["mend_after_fork"]

# What is between two machines, and not of what is asked.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


def mend_after_fork() -> None:
    """See to it that children of this process can reach E2B. Idempotent."""
    global _registered
    if not _registered:
        os.register_at_fork(after_in_child=_mend)
        _registered = True


_registered = False


def _mend() -> None:
    client_async._transport_lock = threading.Lock()
    for (proxy, _, _), retrying in client_async._transports.items():
        retrying._transport = InLoop(proxy)
    # For what the SDK has not made by now.
    vars(client_async)["HTTPTransport"] = _made


def _made(*, proxy: Any = None, **_: Any) -> InLoop:
    return InLoop(None if proxy is None else ProxyConfig(proxy.url))


class InLoop:
    """Asks by the standard client of ``httpx``, which has no threads. One to an event loop.

    Args:
        proxy: through which.
    """

    def __init__(self, proxy: ProxyConfig | None) -> None:
        self._proxy = proxy
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = (
            WeakKeyDictionary()
        )

    async def execute(self, request: Request) -> Response:
        """Ask; what its answer says is read as it comes.

        Raises:
            ConnectionError: nothing was sent.
        """
        asked = httpx.Request(
            request.method,
            request.url,
            headers=list(request.headers.items()),
            content=request.content,
            extensions={"timeout": {"connect": 30.0}},
        )
        try:
            answer = await self._client().handle_async_request(asked)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ConnectionError(str(error)) from error
        return Response(
            status=answer.status_code,
            headers=Headers(
                (name, value)
                for name, value in answer.headers.multi_items()
                if name.lower() not in _HOP_BY_HOP
            ),
            content=_content(answer),
        )

    def _client(self) -> httpx.AsyncHTTPTransport:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = httpx.AsyncHTTPTransport(
                verify=ssl.create_default_context(),
                limits=httpx.Limits(max_connections=None),
                proxy=self._through(),
            )
        return client

    def _through(self) -> httpx.Proxy | None:
        proxy = self._proxy
        if proxy is None:
            return None
        return httpx.Proxy(proxy.url, auth=proxy.auth, headers=list(proxy.headers))


async def _content(answer: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(answer.stream, httpx.AsyncByteStream)
    try:
        async for piece in answer.stream:
            yield piece
    finally:
        await answer.aclose()
