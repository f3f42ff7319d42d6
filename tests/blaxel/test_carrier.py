"""The stream of a command's output, as a server may send it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sandboxkit import errors
from sandboxkit_blaxel import sdk
from sandboxkit_blaxel.account import Account
from sandboxkit_blaxel.carrier import CommandCarrier
from sandboxkit_blaxel.machines import Machine
from sandboxkit_blaxel.settings import BlaxelSettings


def line(kind: str, data: str) -> bytes:
    return json.dumps({"type": kind, "data": data}).encode() + b"\n"


ENDED = line("result", json.dumps({"status": "completed"}))


def heard(*parts: bytes, status: int = 200) -> bytes:
    """What a carrier makes of a stream that comes in these parts."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(200, json={"message": "killed"})
        return httpx.Response(status, content=body())

    async def listened() -> bytes:
        settings = BlaxelSettings(api_key="key", workspace="main", api_url="http://one.invalid/v0")
        account = Account(settings)
        client = account.inside("http://one.invalid/main/sandboxes/x")
        client._httpx_args["transport"] = httpx.MockTransport(answer)
        found: Any = sdk.Sandbox(metadata=sdk.Metadata(name="x"), spec=sdk.SandboxSpec())
        machine = Machine(client, found)
        try:
            carrier = await CommandCarrier.start(account, machine)
            return b"".join([piece async for piece in carrier.output()])
        finally:
            await machine.aclose()
            await account.aclose()

    return asyncio.run(listened())


def test_pieces_as_they_come_and_lines_without_their_ends_are_the_same() -> None:
    whole = b"\nsandboxkit ready\nQUJD\nREVG\n"
    pieces = [line("stdout", "\nsandboxkit ready\n"), line("stdout", "QUJD\nRE")]
    assert heard(*pieces, line("keepalive", ""), line("stdout", "VG\n"), ENDED) == whole
    lines = [line("stdout", text) for text in ("sandboxkit ready", "QUJD", "REVG")]
    assert heard(*lines, ENDED) == whole[1:]


def test_a_line_may_come_in_parts() -> None:
    sent = line("stdout", "sandboxkit ready\n") + ENDED
    assert heard(*[sent[place : place + 1] for place in range(len(sent))]) == b"sandboxkit ready\n"


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([line("stdout", "x\n")], errors.TransportError),
        ([line("result", json.dumps({"status": "killed"}))], errors.TransportError),
        ([b"<html>\n"], errors.ProtocolError),
        ([b'{"type": 1}\n'], errors.ProtocolError),
        ([line("result", "[")], errors.ProtocolError),
        ([b"x" * (33 << 20)], errors.ProtocolError),
    ],
)
def test_a_stream_that_breaks_off_or_cannot_be_read(
    parts: list[bytes], kind: type[errors.SandboxError]
) -> None:
    with pytest.raises(kind):
        heard(*parts)


def test_a_refusal_says_its_status() -> None:
    with pytest.raises(errors.RateLimitError):
        heard(b"{}", status=429)
