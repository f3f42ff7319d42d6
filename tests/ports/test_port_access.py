"""A listener is of no use to whoever has not got its token, nor through somebody else's browser."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time

import pytest
import websockets

from sandboxkit import PortURL, Sandbox
from sandboxkit.conformance.suite.port_servers import WEB, serve
from sandboxkit.ports import http
from tests.ports.port_client import ask, basic, login, place, raw, token

pytestmark = pytest.mark.needs("ports")

NAVIGATION = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


@pytest.fixture
def url(sandbox: Sandbox) -> PortURL:
    serve(sandbox, WEB, 8000)
    return sandbox.url(8000)


@pytest.fixture
def other(url: PortURL, sandbox: Sandbox) -> PortURL:
    """Another listener, for another port."""
    return sandbox.url(8001, wait=None)


# -- without the token --------------------------------------------------------------------------


def test_no_token_and_wrong_tokens(url: PortURL, other: PortURL) -> None:
    good = token(url)
    attempts: list[dict[str, str]] = [
        {},
        {"X_Sandboxkit_Token": ""},
        {"X_Sandboxkit_Token": good[:-1]},
        {"X_Sandboxkit_Token": good + "x"},
        {"X_Sandboxkit_Token": good.swapcase()},
        {"X_Sandboxkit_Token": token(other)},
        {"Authorization": basic(other)},
        {"Authorization": f"Bearer {good}"},
        {"Authorization": good},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic c2FuZGJveDo="},
        {"Authorization": basic(url)[:-4]},
        {"Proxy_Authorization": basic(url)},
        {"Cookie": f"{login(other)}"},
        {"Cookie": f"sandboxkit-{place(url)[1]}={good}"},
        {"Cookie": f"sandboxkit-{place(url)[1]}="},
        {"Cookie": login(url).replace(str(place(url)[1]), str(place(other)[1]))},
        {"X_Forwarded_For": "127.0.0.1", "X_Real_IP": "127.0.0.1"},
    ]
    for headers in attempts:
        for more in ({}, NAVIGATION, SOCKET, {"Sec_Fetch_Site": "same-origin"}):
            answer = ask(url, **{**more, **headers})
            assert answer.status == 401, (headers, more, answer)
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert b"sandbox" not in answer.body
    for path in ("/?token=" + good, f"/{good}", "*"):
        assert ask(url, path).status == 401
    for method in ("POST", "OPTIONS", "TRACE", "CONNECT", "HEAD"):
        assert ask(url, method=method).status == 401, method
    assert ask(url, X_Sandboxkit_Token=good).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "attacker.example:{port}",
        "127.0.0.1.attacker.example:{port}",
        "attacker.localhost:{port}",
        "127.0.0.1:{port}.attacker.example",
        "127.0.0.1:{port}@attacker.example",
        "0.0.0.0:{port}",
        "127.1:{port}",
        "[::1]:{port}",
    ],
)
def test_names_that_are_made_to_point_here(url: PortURL, host: str | None) -> None:
    told = host and host.format(port=place(url)[1])
    answer = ask(url, Host=told, X_Sandboxkit_Token=token(url))
    assert answer.status in (400, 421)
    assert "Set-Cookie" not in answer.headers


def test_the_names_that_are_ours(url: PortURL) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST"):
        told = f"{host}:{place(url)[1]}"
        assert ask(url, Host=told, X_Sandboxkit_Token=token(url)).status == 200
    two = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\nHost: x\r\n"
    assert raw(url, f"{two}X-Sandboxkit-Token: {token(url)}\r\n\r\n".encode()).status == 400
    old = f"GET / HTTP/1.0\r\nX-Sandboxkit-Token: {token(url)}\r\n\r\n"
    assert raw(url, old.encode()).status == 421


# -- through a browser --------------------------------------------------------------------------

FOREIGN: list[dict[str, str]] = [
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://attacker.example"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1:{port}"},
]


@pytest.mark.parametrize("secret", ["cookie", "basic"])
def test_pages_of_others_cannot_use_what_the_browser_remembers(url: PortURL, secret: str) -> None:
    port = str(place(url)[1])
    known = {"Cookie": login(url)} if secret == "cookie" else {"Authorization": basic(url)}
    for foreign in FOREIGN:
        headers = {name: value.format(port=port) for name, value in foreign.items()}
        for method, more in (("GET", {}), ("POST", {}), ("GET", SOCKET)):
            answer = ask(url, method=method, **{**more, **known, **headers})
            assert answer.status == 403, (headers, method, answer)
    navigated = {**NAVIGATION, "Sec_Fetch_Site": "same-site", **known}
    assert ask(url, method="POST", Origin="http://127.0.0.1:1", **navigated).status == 403
    assert ask(url, method="POST", **navigated).status == 403
    assert ask(url, **{**SOCKET, **navigated}).status == 403


def test_a_cookie_counts_only_where_the_browser_says_who_asks(url: PortURL) -> None:
    cookie = login(url)
    own = {"Origin": url.bare}
    assert ask(url, Cookie=cookie).status == 403
    assert ask(url, Cookie=cookie, **own).status == 200
    assert ask(url, Cookie=cookie, Sec_Fetch_Site="same-origin").status == 200
    assert ask(url, Cookie=cookie, Sec_Fetch_Site="none", **NAVIGATION).status == 303
    assert ask(url, Cookie=cookie, Sec_Fetch_Site="cross-site", **NAVIGATION).status == 303
    assert ask(url, "/socket", Cookie=cookie, **own, **SOCKET).status == 101
    assert ask(url, method="POST", Cookie=cookie, **own, Sec_Fetch_Site="same-origin").status == 200


def test_a_visit_leads_to_an_address_without_the_token(url: PortURL) -> None:
    told = {"Authorization": basic(url), "Sec_Fetch_Site": "none", **NAVIGATION}
    for path in ("/a/b?c=d", "//attacker.example/x", "/%2e%2e"):
        answer = ask(url, path, **told)
        assert (answer.status, answer.headers["Location"]) == (303, url.bare + path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert ask(url, path, **told, Cookie=login(url)).status == 303
    # The redirect is not redirected, and the mark by which it is known is taken away.
    answer = ask(url, **told)
    cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie")]
    marked = {**told, "Cookie": "; ".join(cookies)}
    answer = ask(url, **marked)
    assert answer.status == 200
    name, value = cookies[1].split("=")
    assert answer.headers["Set-Cookie"].startswith(f"{name}=; ")
    assert value.encode() not in answer.body
    assert ask(url, "/another", **marked).status == 303
    # Nor is a program, or a part of a page.
    assert ask(url, Authorization=basic(url)).status == 200
    assert ask(url, Authorization=basic(url), Sec_Fetch_Mode="cors").status == 200


# -- what the server inside gets to see ---------------------------------------------------------


def seen(answer: object) -> dict[str, str]:
    body = answer.body  # type: ignore[attr-defined]
    return {name.lower(): value for name, value in json.loads(body)["headers"]}


def test_no_secret_of_any_listener_reaches_the_server(url: PortURL, other: PortURL) -> None:
    mine, theirs = login(url), login(other)
    answer = ask(
        url,
        Cookie=f"a=1; {theirs}; {mine};b=2",
        Authorization=basic(other),
        X_Sandboxkit_Token=token(url),
    )
    assert answer.status == 200
    cookies = [cookie.partition("=")[2] for cookie in (mine, theirs)]
    for secret in (*cookies, token(url), token(other), basic(other)[6:20]):
        assert secret.encode() not in answer.body
    headers = seen(answer)
    assert headers["cookie"] == "a=1; b=2"
    assert not {"authorization", "x-sandboxkit-token"} & headers.keys()
    only = ask(url, Cookie=mine, Origin=url.bare)
    assert "cookie" not in seen(only)
    assert "authorization" not in seen(ask(url, Authorization=basic(url)))


def test_the_servers_own_authorization_gets_through(url: PortURL) -> None:
    for own in ("Bearer abc", "Basic dXNlcjpwYXNz", "Basic c2FuZGJveDpvd24="):
        answer = ask(url, X_Sandboxkit_Token=token(url), Authorization=own)
        assert seen(answer)["authorization"] == own
        answer = ask(url, Cookie=login(url), Origin=url.bare, Authorization=own)
        assert seen(answer)["authorization"] == own


def test_the_server_cannot_set_our_cookies(url: PortURL) -> None:
    answer = ask(url, "/cookies", X_Sandboxkit_Token=token(url))
    assert answer.headers.get_all("Set-Cookie") == ["own=1"]


# -- one message, understood in one way ---------------------------------------------------------


def test_what_can_be_understood_in_two_ways_is_refused(url: PortURL) -> None:
    start = f"POST /headers HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\n"
    start += f"X-Sandboxkit-Token: {token(url)}\r\n"
    for framing in (
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\x00b\r\n",
        "Content-Length: 3\rX: y\r\n",
    ):
        answer = raw(url, (start + framing + "\r\n0\r\n\r\n").encode())
        assert answer.status in (400, 501), (framing, answer)


def test_hop_by_hop_headers_stay_on_their_hop(url: PortURL) -> None:
    answer = ask(
        url,
        X_Sandboxkit_Token=token(url),
        Connection="keep-alive, x-hop, host, content-length",
        X_Hop="1",
        Keep_Alive="timeout=5",
        TE="trailers",
        Proxy_Authorization="Basic eDp5",
        X_Kept="2",
    )
    headers = seen(answer)
    assert headers["x-kept"] == "2"
    assert headers["host"] == f"127.0.0.1:{place(url)[1]}"
    assert headers["connection"] == "close"
    assert not {"x-hop", "keep-alive", "te", "proxy-authorization"} & headers.keys()


def test_other_protocols_are_not_let_in(url: PortURL) -> None:
    known = {"X_Sandboxkit_Token": token(url)}
    old = ask(
        url, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AA", **known
    )
    assert old.status == 200
    assert not {"upgrade", "http2-settings"} & seen(old).keys()
    for target in ("http://attacker.example/", "attacker.example:80", "x"):
        assert ask(url, target, **known).status == 400
    assert ask(url, "attacker.example:80", method="CONNECT", **known).status == 400
    assert raw(url, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status in (400, 421, 505)


def test_two_requests_in_one_packet_are_two(url: PortURL) -> None:
    host = f"127.0.0.1:{place(url)[1]}"
    first = f"GET /headers?1 HTTP/1.1\r\nHost: {host}\r\nX-Sandboxkit-Token: {token(url)}\r\n\r\n"
    second = f"GET /headers?2 HTTP/1.1\r\nHost: {host}\r\n\r\n"
    with socket.create_connection(place(url), timeout=20) as client:
        client.sendall((first + second).encode())
        got = b""
        while chunk := client.recv(65536):
            got += chunk
    assert got.count(b"HTTP/1.1 ") == 2
    assert b"/headers?1" in got
    assert b"/headers?2" not in got
    assert b"HTTP/1.1 401" in got


# -- what is no request at all ------------------------------------------------------------------


def test_garbage(url: PortURL) -> None:
    for data in (
        b"\x00" * 500,
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01" + bytes(range(200)),
    ):
        with socket.create_connection(place(url), timeout=20) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            got = b""
            while chunk := client.recv(65536):
                got += chunk
            assert not got or got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")), got
    with socket.create_connection(place(url), timeout=20) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ssl._create_unverified_context().wrap_socket(client)
    assert ask(url, X_Sandboxkit_Token=token(url)).status == 200


def test_a_head_without_end_is_cut_off(url: PortURL) -> None:
    start = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\n".encode()
    answer = raw(url, start + b"X: " + b"y" * 200_000)
    assert answer.status in (400, 431)


def test_those_who_dawdle_are_cut_off(url: PortURL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_TIMEOUT", 1.0)
    began = time.monotonic()
    clients = [socket.create_connection(place(url), timeout=20) for _ in range(50)]
    try:
        for client in clients[:25]:
            client.sendall(b"GET / HTTP/1.1\r\n")
        assert ask(url, X_Sandboxkit_Token=token(url)).status == 200
        for client in clients[:25]:
            try:
                client.sendall(b"X: y\r\n")
            except ConnectionError:
                continue
        for client in clients:
            try:
                assert client.recv(100) == b""
            except ConnectionResetError:
                continue
    finally:
        for client in clients:
            client.close()
    assert time.monotonic() - began < 15


def test_a_websocket_needs_the_token(url: PortURL, other: PortURL) -> None:
    async def main() -> None:
        place_of = url.bare.replace("http", "ws", 1) + "/socket"
        for refused in (
            {},
            {"additional_headers": {"X-Sandboxkit-Token": token(other)}},
            {"additional_headers": {"Authorization": basic(url)}, "origin": "http://127.0.0.1:1"},
        ):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await websockets.connect(place_of, proxy=None, **refused)  # type: ignore[arg-type]
            assert caught.value.response.status_code in (401, 403)
        async with websockets.connect(
            place_of, proxy=None, additional_headers=url.headers
        ) as socket_:
            await socket_.send("a")
            assert await socket_.recv() == "echo: a"

    asyncio.run(main())
