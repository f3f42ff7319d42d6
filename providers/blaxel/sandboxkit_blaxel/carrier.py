"""A command of Blaxel's that carries the guest."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import cast

import httpx

from sandboxkit.errors import ProtocolError, SandboxError, TransportError
from sandboxkit.guest.carried import Carrier, command

from . import sdk
from .account import Account
from .machines import Machine

__all__ = ["CommandCarrier"]

COMPLAINT = 2000
"""Characters kept of its standard error."""
LONGEST = 32 << 20
"""Bytes of a line of the stream, which has one for each piece of output."""


class CommandCarrier(Carrier):
    """Runs the loader by the sandbox's own API. Made by `start`.

    The SDK has a way of its own to run a command and hear its output. It has no back-pressure,
    passes over lines that it cannot read, and raises bare exceptions that say nothing of a status;
    so the stream is read here, with the SDK's client.
    """

    def __init__(self, account: Account, machine: Machine, name: str) -> None:
        self._account = account
        self._machine = machine
        self._client = machine.client
        self._name = name
        self._stopping: asyncio.Future[None] | None = None
        self._complaint = ""
        self._response: httpx.Response | None = None
        self._whole = False

    @classmethod
    async def start(cls, account: Account, machine: Machine) -> CommandCarrier:
        """Start the loader in a sandbox.

        Raises:
            SandboxError: it could not be started.
        """
        machine.check()
        carrier = cls(account, machine, f"sandboxkit-{secrets.token_hex(8)}")
        wanted = sdk.ProcessRequest(
            command=command(),
            name=carrier._name,
            stdin=True,
            timeout=0,
            wait_for_completion=True,
            working_dir="/",
        )
        with account.translated("start"):
            http = machine.client.get_async_httpx_client()
            request = http.build_request(
                "POST",
                "/process",
                json=wanted.to_dict(),
                headers={"Accept": "text/event-stream"},
                timeout=httpx.Timeout(None, connect=10.0),
            )
            response = await http.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    await response.aread()
                    raise sdk.ResponseError(response)
            except BaseException:
                await response.aclose()
                raise
        carrier._response = response
        machine.carriers.add(carrier)
        return carrier

    async def send(self, data: bytes) -> None:
        self._machine.check()
        with self._account.translated("send"):
            answer = await sdk.inside.post_process_identifier_stdin.asyncio_detailed(
                self._name,
                client=self._client,
                body=cast("str", data),  # which it sends as it is
            )
            if answer.status_code >= 300:
                raise sdk.ResponseError.from_api_response(answer)

    async def output(self) -> AsyncIterator[bytes]:
        assert self._response is not None
        with self._account.translated("follow"):
            async for line in _lines(self._response.aiter_bytes()):
                kind, data = _parsed(line)
                if kind == "stdout":
                    yield self._ended(data).encode()
                elif kind == "stderr":
                    self._complaint = (self._complaint + data)[-COMPLAINT:]
                elif kind == "result":
                    _check_end(data)
                    return
        raise TransportError("Blaxel's stream of a command's output has broken off")

    def _ended(self, data: str) -> str:
        """A piece with the end of line that a server may have cut off.

        It may send pieces as they come, or line by line without what ends a line. The loader's
        first words tell which, as it writes them with their end in one piece.
        """
        if data.startswith("sandboxkit ") and not data.endswith("\n"):
            self._whole = True
        return data + "\n" if self._whole else data

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        assert self._response is not None
        ended = self._response.is_closed
        await self._response.aclose()
        if not ended and not self._machine.gone:
            with contextlib.suppress(SandboxError):  # the sandbox may be gone, and it with it
                with self._account.translated("stop"):
                    await sdk.inside.delete_process_identifier_kill.asyncio_detailed(
                        self._name, client=self._client
                    )
        self._machine.carriers.discard(self)

    @property
    def complaint(self) -> str:
        return self._complaint


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield bytes(line)
        rest = last
        if len(rest) > LONGEST:
            raise ProtocolError("a line of the command's output is too long")


def _check_end(text: str) -> None:
    """See that the command ended by itself; its sandbox may have ended with it in it."""
    try:
        status = json.loads(text).get("status")
    except (ValueError, RecursionError, AttributeError):
        raise ProtocolError("how the command ended cannot be read") from None
    if status not in ("completed", "failed"):
        raise TransportError("the command that carries the guest was killed")


def _parsed(line: bytes) -> tuple[str, str]:
    if not line.strip():
        return "", ""
    try:
        event = json.loads(line)
        kind, data = event["type"], event.get("data", "")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise ProtocolError("a line of the command's output cannot be read") from None
    if not isinstance(kind, str) or not isinstance(data, str):
        raise ProtocolError("a line of the command's output cannot be read")
    return kind, data
