"""Ports of sandboxes by host and by headers, HTTP and WebSockets."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2b_code_interpreter import Sandbox
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.gateway.conftest import Served, asked

TOKEN = "E2b-Traffic-Access-Token"
PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def site(gateway: Served) -> Iterator[Sandbox]:
    with Sandbox.create(**gateway.params) as sandbox:
        for name, port in (("web.py", 8000), ("sockets.py", 8001)):
            sandbox.files.write(name, (PROGRAMS / name).read_text())
            sandbox.commands.run(f"python3 {name}", background=True)
            sandbox.commands.run(f"until (: < /dev/tcp/127.0.0.1/{port}); do sleep .05; done 2>&-")
        yield sandbox


def test_by_host_and_by_headers(site: Sandbox, gateway: Served) -> None:
    by_host = {"Host": site.get_host(8000)}
    by_headers = {"E2b-Sandbox-Id": site.sandbox_id, "E2b-Sandbox-Port": "8000"}
    for way in (by_host, by_headers):
        status, body = asked(gateway, "GET", "/a%20b?c=d%26", None, way)
        assert status == 200
        assert b'"path": "/a%20b?c=d%26"' in body
        assert b"sandbox-id" not in body.lower()
        data = bytes(range(256)) * 20_000
        assert (
            asked(gateway, "POST", "/", data, way)[1].decode() == hashlib.sha256(data).hexdigest()
        )
        assert asked(gateway, "GET", "/stream", None, way) == (200, b"part0part1part2")
    status, body = asked(gateway, "GET", "/", None, {"Host": site.get_host(9999)})
    assert (status, b"port is not open" in body) == (502, True)


def test_websockets(site: Sandbox, gateway: Served) -> None:
    uri = f"ws://{site.get_host(8001)}/socket"
    with connect(
        uri, sock=socket.create_connection(gateway.host()), subprotocols=["chat"], max_size=None
    ) as opened:
        assert opened.subprotocol == "chat"
        for message in ("text", b"\x00\xff" * 100_000, "ä" * 70_000):
            opened.send(message)
            assert opened.recv(timeout=20) == message
    late = uri.replace("/socket", "/late")
    with connect(late, sock=socket.create_connection(gateway.host()), max_size=None) as opened:
        opened.send(b"Z" * (12 << 20))
        assert opened.recv(timeout=30) == b"Z" * (12 << 20)
    with socket.create_connection(gateway.host()) as plain:
        with pytest.raises(InvalidStatus) as refused:
            connect(uri.replace("8001-", "9999-"), sock=plain)
    assert refused.value.response.status_code == 502


def test_private_ports(gateway: Served) -> None:
    network = {"allow_public_traffic": False}
    with Sandbox.create(network=network, **gateway.params) as sandbox:
        sandbox.run_code("1")  # the SDK sends the token
        way = {"Host": sandbox.get_host(8000)}
        assert asked(gateway, "GET", "/", None, way)[0] == 403
        assert asked(gateway, "GET", "/", None, {TOKEN: "wrong", **way})[0] == 403
        token = sandbox.traffic_access_token
        assert asked(gateway, "GET", "/", None, {TOKEN: token, **way})[0] == 502
