"""One connection of the sandbox's: what it asks for, whether it may have it, and the answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from http import HTTPStatus
from typing import Awaitable, List, TypeVar

from . import addresses, heads
from .addresses import Address
from .heads import Refusal, Request, Target
from .inlet import Inlet
from .lookup import Lookup
from .relay import Relay, close_hard
from .rules import Rules

__all__ = ["Exchange"]

T = TypeVar("T")

LONGEST_HEAD = 65_536
HEAD_TIME = 30.0
"""Seconds that a client has for the whole head of its request, however it is dealt out."""
CONNECT_TIME = 15.0
"""Seconds for one address to answer."""
_MOST_ADDRESSES = 6
_FAREWELL = 2.0  # seconds for a client to take an answer that it may not have waited for
_MOST_INTERIM = 20


class Exchange:
    """Serves one connection to its end.

    Args:
        client: accepted and non-blocking; owned from now on.
        rules: what may be reached.
        lookup: finds addresses.
    """

    def __init__(self, client: socket.socket, rules: Rules, lookup: Lookup) -> None:
        self._client = client
        self._rules = rules
        self._lookup = lookup
        self._loop = asyncio.get_running_loop()
        self._inlet = Inlet(client)
        self._answered = False

    async def run(self) -> None:
        """Do all of it. Whatever goes wrong is told the client, or breaks its connection."""
        try:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._serve()
            await self._part()
        except Refusal as refusal:
            await self._refuse(refusal)
        except (OSError, asyncio.TimeoutError):
            close_hard(self._client)
        finally:
            self._client.close()

    async def _serve(self) -> None:
        head = await self._within(HEAD_TIME, self._inlet.head(LONGEST_HEAD, 400), 408)
        if head is None:
            return
        asked = heads.request(head)
        server = await self._reach(asked.target)
        try:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            relay = Relay(self._client, self._inlet, server)
            await (self._tunnel(relay) if asked.method == "CONNECT" else self._pass(relay, asked))
        except BaseException:
            close_hard(server)
            raise
        finally:
            server.close()

    async def _tunnel(self, relay: Relay) -> None:
        self._answered = True
        await relay.to_client(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await relay.tunnel()

    async def _pass(self, relay: Relay, asked: Request) -> None:
        await relay.exchange(heads.forwarded(asked), asked.length, self._begin_answer)

    async def _begin_answer(self, relay: Relay) -> None:
        for _ in range(_MOST_INTERIM):
            head = await relay.answers.head(LONGEST_HEAD, 502)
            if head is None:
                raise Refusal(502, "the server hung up without an answer")
            interim, told = heads.response(head)
            self._answered = True
            await relay.to_client(told)
            if not interim:
                return
        raise ConnectionAbortedError("a server that never comes to its answer")

    # -- where to -----------------------------------------------------------------------------

    async def _reach(self, target: Target) -> socket.socket:
        """Connect to an address that was checked, and to no other.

        Raises:
            Refusal: it may not, or cannot, be reached.
        """
        reason = "nobody answers"
        for address in (await self._allowed(target))[:_MOST_ADDRESSES]:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            try:
                sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                reason = _reason(error)
                continue
            try:
                connecting = self._loop.sock_connect(sock, (str(address), target.port))
                await asyncio.wait_for(connecting, CONNECT_TIME)
            except asyncio.TimeoutError:
                sock.close()
                reason = f"no answer within {CONNECT_TIME:g} s"
            except OSError as error:
                sock.close()
                reason = _reason(error)
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise Refusal(502, f"{target} cannot be reached: {reason}")

    async def _allowed(self, target: Target) -> List[Address]:
        address = addresses.parse(target.host)
        if address is not None:
            if not self._rules.allows(address):
                raise _denied(target.host, "no rule names a network that it is in")
            return [address]
        # A name that no rule is about is not looked up: the question itself would carry it out.
        if not self._rules.names(target.host):
            raise _denied(target.host, "no rule names it")
        found = await self._lookup.addresses(target.host, target.port)
        if not found:
            raise Refusal(502, f"{target.host}: this name leads to no address")
        allowed = [one for one in found if self._rules.allows(one, target.host)]
        if not allowed:
            shown = ", ".join(str(one) for one in found[:3])
            raise _denied(
                target.host,
                f"it leads to {shown}, where a name alone must not lead; name that network too",
            )
        return allowed

    # -- answers of our own -------------------------------------------------------------------

    async def _within(self, seconds: float, work: "Awaitable[T]", status: int) -> T:
        try:
            return await asyncio.wait_for(work, seconds)
        except asyncio.TimeoutError:
            raise Refusal(status, f"the request did not come within {seconds:g} s") from None

    async def _refuse(self, refusal: Refusal) -> None:
        if self._answered:
            close_hard(self._client)
            return
        body = f"sandboxkit: {refusal.message}\n".encode("ascii", "backslashreplace")
        # Clients show no body of a CONNECT that was refused, but some do show the reason.
        reason = "Denied by the sandbox's rules" if refusal.status == 403 else _phrase(refusal)
        head = (
            f"HTTP/1.1 {refusal.status} {reason}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            answer = self._loop.sock_sendall(self._client, head.encode("ascii") + body)
            await asyncio.wait_for(answer, _FAREWELL)
            await self._part()

    async def _part(self) -> None:
        """Close in a way that does not take back what was just sent."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            self._client.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._drain(), _FAREWELL)

    async def _drain(self) -> None:
        while await self._inlet.some():
            pass


def _denied(host: str, why: str) -> Refusal:
    return Refusal(403, f"{host} is not among what this sandbox may reach: {why}")


def _reason(error: OSError) -> str:
    # What the loop says of an attempt that failed is about itself.
    return os.strerror(error.errno) if error.errno else str(error)


def _phrase(refusal: Refusal) -> str:
    return HTTPStatus(refusal.status).phrase
