"""What a tenant, or anybody, may take of a gateway: streams, creations, memory, connections."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox
from starlette.responses import Response

from sandboxkit.gateway.keys import hash_key, make_key
from sandboxkit.gateway.server import Server, listen
from tests.gateway.conftest import Served, serving
from tests.gateway.crowd import resident

ZEROS = 1 << 20


@pytest.fixture(scope="module")
def narrow(private_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A gateway with a tenant who may do little, and one who may do what is usual."""
    poor, rich = make_key(), make_key()
    path: Path = tmp_path_factory.mktemp("limits") / "keys.toml"
    path.write_text(
        f'[tenants.poor]\nkeys = ["{hash_key(poor)}"]\nmax_streams = 2\n'
        f'creations_per_second = 0.2\n[tenants.rich]\nkeys = ["{hash_key(rich)}"]\n'
    )
    options = ("--profile", "local", "--keys", str(path), "--max-upload", "64MiB")
    with serving(*options) as served:
        yield served, {**served.params, "api_key": poor}, {**served.params, "api_key": rich}


def answered(
    gateway: Served, path: str, body: bytes, headers: dict[str, str]
) -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection(*gateway.host(), timeout=30)) as connection:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer


def called(sandbox: Sandbox, **more: str) -> dict[str, str]:
    return {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": sandbox._envd_access_token,
        "Content-Type": "application/json",
        **more,
    }


def test_streams_and_creations(narrow: Any) -> None:
    gateway, poor, rich = narrow
    with ExitStack() as stack:
        first = stack.enter_context(Sandbox.create(**poor))
        streams = [first.commands.run("sleep 100", background=True) for _ in range(2)]
        late = answered(gateway, "/process.Process/List", b"{}", called(first))
        assert (late.status, late.headers["Retry-After"]) == (429, "1")
        assert late.headers["Should-Retry"] == "true"
        other = stack.enter_context(Sandbox.create(**rich))
        assert other.commands.run("echo well").stdout == "well\n"
        for stream in streams:
            stream.disconnect()
        key = {"X-API-KEY": poor["api_key"], "Content-Type": "application/json"}
        body = json.dumps({"templateID": "base", "metadata": {"too": "many"}}).encode()
        soon = [answered(gateway, "/v2/sandboxes", body, key) for _ in range(3)]
        refused = [one for one in soon if one.status == 429]
        assert refused
        assert 1 <= int(refused[-1].headers["Retry-After"]) <= 5
        assert refused[-1].headers["Should-Retry"] == "true"
        for found in Sandbox.list(**poor).next_items():
            Sandbox.kill(found.sandbox_id, **poor)


def bomb(size: int) -> bytes:
    """A gzip file that unpacks to `size` zeros; made of one piece that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (size // ZEROS - 1)


def test_a_bomb_is_bounded(narrow: Any) -> None:
    gateway, _, rich = narrow
    packed = bomb(8 << 30)
    assert len(packed) < 12 << 20
    with Sandbox.create(**rich) as sandbox:
        sandbox.files.write("there", "before")
        before = resident(gateway)
        for query, kind in (
            ("?path=there", "application/octet-stream"),
            ("?path=there", "multipart/form-data; boundary=x"),
        ):
            headers = called(sandbox, **{"Content-Type": kind, "Content-Encoding": "gzip"})
            refused = answered(gateway, "/files" + query, packed, headers)
            assert refused.status in (400, 413)
        assert resident(gateway) - before < 64 << 20
        # As a message it is not unpacked at all.
        headers = called(sandbox, **{"Content-Encoding": "gzip"})
        assert answered(gateway, "/process.Process/List", packed[:10_000], headers).status == 400
        assert sandbox.files.read("there") == "before"
        assert sandbox.commands.run("echo well").stdout == "well\n"


def test_a_file_packed_in_several_members(narrow: Any) -> None:
    gateway, _, rich = narrow
    packed = gzip.compress(b"A" * 10) + gzip.compress(b"B" * 10)
    with Sandbox.create(**rich) as sandbox:
        headers = called(
            sandbox, **{"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
        )
        assert answered(gateway, "/files?path=there", packed, headers).status == 200
        assert sandbox.files.read("there") == "A" * 10 + "B" * 10
        assert answered(gateway, "/files?path=there", packed[:-9], headers).status == 400
        # A superscript is a digit to Python, and no number.
        odd = called(sandbox, **{"Keepalive-Ping-Interval": "\xb2"})
        assert answered(gateway, "/process.Process/List", b"{}", odd).status == 200


def test_a_key_makes_one_sandbox(narrow: Any) -> None:
    _, _, rich = narrow
    first = Sandbox.create(idempotency_key="one-two-3", **rich)
    try:
        again = Sandbox.create(idempotency_key="one-two-3", **rich)
        assert again.sandbox_id == first.sandbox_id
        assert len(Sandbox.list(**rich).next_items()) == 1
        with pytest.raises(Exception, match="another request"):
            Sandbox.create(idempotency_key="one-two-3", metadata={"x": "y"}, **rich)
    finally:
        first.kill()
    with Sandbox.create(idempotency_key="one-two-3", **rich) as new:
        assert new.sandbox_id != first.sandbox_id


@asynccontextmanager
async def _served(head: float) -> AsyncIterator[tuple[str, int]]:
    """A server in this process, that answers all requests when their bodies have come."""

    async def read(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await Response("well")(scope, receive, send)

    running = Server(read, head=head)
    running.config.lifespan = "off"
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(running.serve(sockets=[listener]))
        try:
            yield listener.getsockname()
        finally:
            running.should_exit = True
            await serving


async def _told(address: tuple[str, int], *parts: bytes) -> bytes:
    """What comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def _held_up(head: float) -> list[float]:
    """For how long a connection is kept that says nothing, and one that says half of a head."""
    async with _served(head) as address:

        async def kept(*parts: bytes) -> float:
            began = time.monotonic()
            await _told(address, *parts)
            return time.monotonic() - began

        return list(await asyncio.gather(kept(), kept(b"GET / HTTP/1.1\r\nHo")))


def test_half_a_request_is_not_waited_for() -> None:
    for kept in asyncio.run(_held_up(0.4)):
        assert 0.3 < kept < 4


async def _too_much() -> list[bytes]:
    head = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece, end = b"x" * 32768, b"\r\n0\r\n\r\n"
    async with _served(30) as address:
        told = await asyncio.gather(
            _told(
                address, b"GET / HTTP/1.1\r\nConnection: close\r\nX: ", *[piece] * 40, b"\r\n\r\n"
            ),
            _told(address, head, b"1\r\nx\r\n0\r\nX: ", *[piece] * 40, b"\r\n\r\n"),
            _told(address, head, b"1;", *[piece] * 40, b"\r\nx", end),
            _told(address, head, b"%x\r\n" % (40 * len(piece)), *[piece] * 40, end),
        )
    return list(told)


def test_a_head_is_bounded_and_so_is_all_that_is_no_body() -> None:
    *refused, served = asyncio.run(_too_much())
    assert [a[:60] for a in refused if b" 200 " in a] == []
    assert served.startswith(b"HTTP/1.1 200 ")  # a body may be as large as it likes


def test_a_request_with_two_lengths_is_one_request(narrow: Any) -> None:
    gateway, _, _ = narrow
    hidden = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    head = (
        b"POST /v2/sandboxes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    )
    with socket.create_connection(gateway.host(), timeout=20) as client:
        client.sendall(head + hidden)
        client.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := client.recv(65536):
            got += chunk
    assert got.count(b"HTTP/1.1 ") == 1
    assert b" 200 " not in got.split(b"\r\n", 1)[0]


def _segments(sock: Any) -> int:
    """How many packets with data have come: ``tcpi_data_segs_in`` of the kernel's ``tcp_info``."""
    return int.from_bytes(
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)[152:156], "little"
    )


async def _packets() -> int:
    async with _served(30) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await reader.readuntil(b"well")
        found = _segments(writer.get_extra_info("socket"))
        writer.close()
        return found


def test_an_answer_is_one_packet() -> None:
    assert asyncio.run(_packets()) == 1
