"""HTTP through a listener: every client works, and every kind of message arrives as it was sent."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import os
import random
import socket
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest
import requests
import websockets

from sandboxkit import AsyncSandbox, PortURL, Sandbox
from sandboxkit.conformance.suite.port_servers import WEB, serve
from tests.ports.port_client import ask, place, token

pytestmark = pytest.mark.needs("ports")

MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is not asked for what is on this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def url(sandbox: Sandbox) -> PortURL:
    serve(sandbox, WEB, 8000)
    return sandbox.url(8000)


@pytest.fixture
def session(url: PortURL) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url.bare, headers=dict(url.headers), timeout=30) as made:
        yield made


def rss() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


# -- clients ------------------------------------------------------------------------------------


def test_httpx(url: PortURL) -> None:
    answer = httpx.get(url + "/headers?a=b")
    assert (answer.status_code, answer.json()["path"]) == (200, "/headers?a=b")
    assert "authorization" not in {name.lower() for name, _ in answer.json()["headers"]}
    assert httpx.get(url).status_code == 200


def test_requests(url: PortURL) -> None:
    answer = requests.post(url + "/headers", data=b"content", timeout=30)
    assert (answer.status_code, answer.json()["body"]) == (200, "content")
    with requests.Session() as one:
        for _ in range(3):
            assert one.get(url + "/headers", timeout=30).status_code == 200


def test_curl(url: PortURL) -> None:
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-w", "%{http_code}", "-d", "x" * 5000, url + "/sum"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == f"5000 {zlib.crc32(b'x' * 5000)}200"


def test_aiohttp_and_websockets(url: PortURL) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as one:
            async with one.get(url + "/headers") as answer:
                assert answer.status == 200
            async with one.ws_connect(url + "/socket") as channel:
                await channel.send_str("a")
                assert (await channel.receive()).data == "echo: a"
        place_of = url.replace("http", "ws", 1) + "/socket"
        async with websockets.connect(place_of, proxy=None) as channel:
            for size in (0, 1, 1000, 60_000):
                await channel.send("x" * size)
                if size < 120:  # what the little server can answer
                    assert await channel.recv() == "echo: " + "x" * size
                else:
                    break

    asyncio.run(main())


def test_the_other_scheme(sandbox: Sandbox, url: PortURL) -> None:
    async def main() -> None:
        place_of = sandbox.url(8000, scheme="ws")
        async with websockets.connect(place_of + "/socket", proxy=None) as channel:
            await channel.send("hello")
            assert await channel.recv() == "echo: hello"

    asyncio.run(main())


# -- messages -----------------------------------------------------------------------------------


def test_methods_and_paths(session: httpx.Client) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        told = session.request(method, "/headers?x=%20%2F;y").json()
        assert (told["method"], told["path"]) == (method, "/headers?x=%20%2F;y")
    head = session.head("/headers")
    assert head.status_code == 200
    assert int(head.headers["Content-Length"]) > 0
    assert session.get("/headers").status_code == 200
    assert session.get("/nosuch").status_code == 404
    nothing = session.get("/nothing")
    assert (nothing.status_code, nothing.content) == (204, b"")


def test_a_connection_is_used_again(url: PortURL) -> None:
    connection = http.client.HTTPConnection(*place(url), timeout=30)
    connection.connect()
    first = connection.sock
    for number in range(20):
        body = b"x" * number
        connection.request("POST", "/sum", body, {**url.headers})
        answer = connection.getresponse()
        assert answer.read() == f"{number} {zlib.crc32(body)}".encode()
        assert connection.sock is first
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload(session: httpx.Client, chunked: bool) -> None:
    data = random.Random(1).randbytes(30 * MIB)
    before = rss()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    headers = {} if chunked else {"Content-Length": str(len(data))}
    answer = session.post("/sum", content=pieces(), headers=headers)
    assert answer.text == f"{len(data)} {zlib.crc32(data)}"
    assert rss() - before < 20 * MIB


def test_a_large_download_to_a_slow_reader(session: httpx.Client) -> None:
    size = 100_000_000
    before = rss()
    with session.stream("GET", f"/big?{size}") as answer:
        chunks = answer.iter_raw(65536)
        got = len(next(chunks))
        time.sleep(1)
        assert rss() - before < 20 * MIB
        crc = 0
        for chunk in chunks:
            got += len(chunk)
            crc = zlib.crc32(chunk, crc)
    assert got == size
    assert rss() - before < 30 * MIB


def test_chunks_and_their_trailers(url: PortURL) -> None:
    with socket.create_connection(place(url), timeout=20) as client:
        head = f"GET /chunks HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\n"
        client.sendall((head + f"X-Sandboxkit-Token: {token(url)}\r\n\r\n").encode())
        got = b""
        while not got.endswith(b"\r\n\r\n") or b"X-Sum" not in got.partition(b"\r\n\r\n")[2]:
            got += client.recv(65536)
    assert b"onetwothree" in got.replace(b"\r\n", b"").replace(b"3one", b"one").replace(
        b"3two", b"two"
    ).replace(b"5three", b"three")
    assert b"X-Sum: 11" in got


def test_an_answer_without_length_ends_with_its_connection(session: httpx.Client) -> None:
    answer = session.get("/endless")
    assert answer.text == "until the end"
    assert session.get("/headers").status_code == 200


def test_old_clients(url: PortURL) -> None:
    head = f"GET {{}} HTTP/1.0\r\nHost: 127.0.0.1:{place(url)[1]}\r\n"
    for path, end in (("/chunks", b"onetwothree"), ("/endless", b"until the end")):
        with socket.create_connection(place(url), timeout=20) as client:
            client.sendall(
                (head.format(path) + f"X-Sandboxkit-Token: {token(url)}\r\n\r\n").encode()
            )
            got = b""
            while chunk := client.recv(65536):
                got += chunk
        assert got.partition(b"\r\n\r\n")[2] == end
        assert b"chunked" not in got


def test_events_come_as_they_are_sent(sandbox: Sandbox, url: PortURL) -> None:
    with httpx.stream("GET", url + "/events", timeout=20) as answer:
        times = []
        for line in answer.iter_lines():
            if line:
                assert line == "data: tick"
                times.append(time.monotonic())
            if len(times) == 10:
                break
    assert times[-1] - times[0] > 0.5
    appears(sandbox, "/tmp/events-ended")


def appears(sandbox: Sandbox, path: str) -> None:
    deadline = time.monotonic() + 10
    while not sandbox.files.exists(path):
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.05)


def test_a_client_that_goes_away_before_the_answer(sandbox: Sandbox, url: PortURL) -> None:
    with socket.create_connection(place(url), timeout=20) as client:
        head = f"GET /silent HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\n"
        client.sendall((head + f"X-Sandboxkit-Token: {token(url)}\r\n\r\n").encode())
        appears(sandbox, "/tmp/silent")
        assert not sandbox.files.exists("/tmp/silent-ended")
    appears(sandbox, "/tmp/silent-ended")


def test_a_client_that_waits_to_be_asked(url: PortURL) -> None:
    with socket.create_connection(place(url), timeout=20) as client:
        head = (
            f"POST /sum HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\nContent-Length: 5\r\n"
            f"Expect: 100-continue\r\nX-Sandboxkit-Token: {token(url)}\r\n\r\n"
        )
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        client.sendall(b"hello")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.read() == f"5 {zlib.crc32(b'hello')}".encode()


def test_an_answer_to_what_was_not_read(url: PortURL) -> None:
    for _ in range(5):
        with socket.create_connection(place(url), timeout=20) as client:
            head = (
                f"POST /refuse HTTP/1.1\r\nHost: 127.0.0.1:{place(url)[1]}\r\n"
                f"Content-Length: 50000000\r\nX-Sandboxkit-Token: {token(url)}\r\n\r\n"
            )
            client.sendall(head.encode() + b"x" * 1000)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert (answer.status, answer.read()) == (413, b"too large")
    # And to clients that send all before they look, also without the token.
    size = 8 * MIB
    for headers, status in (({"X_Sandboxkit_Token": token(url)}, 413), ({}, 401)):
        answer = ask(
            url, "/refuse", method="POST", body=bytes(size), Content_Length=str(size), **headers
        )
        assert answer.status == status


# -- what goes wrong ----------------------------------------------------------------------------


def test_an_answer_that_breaks_off(session: httpx.Client) -> None:
    with pytest.raises(httpx.HTTPError):
        session.get("/broken")
    assert session.get("/headers").status_code == 200


def test_an_answer_that_is_none(session: httpx.Client) -> None:
    answer = session.get("/garbage")
    assert answer.status_code == 502
    assert "port 8000" in answer.text
    assert "HTTP" in answer.text


def test_nobody_listens(sandbox: Sandbox) -> None:
    url = sandbox.url(8001, wait=None)
    answer = httpx.get(url + "/x")
    assert answer.status_code == 502
    assert f"nothing answers at port 8001 of {sandbox.address}" in answer.text
    assert httpx.head(url).status_code == 502
    serve(sandbox, WEB, 8001)
    assert sandbox.url(8001) == url
    assert httpx.get(url + "/headers").status_code == 200


def test_a_sandbox_that_has_ended(target) -> None:
    with target.create() as owner:
        serve(owner, WEB, 8000)
        with Sandbox.connect(owner.address) as sandbox:
            url = sandbox.url(8000)
            with httpx.stream("GET", url + "/events", timeout=20) as answer:
                lines = answer.iter_lines()
                assert next(lines) == "data: tick"
                owner.kill()
                with pytest.raises(httpx.HTTPError):
                    for _ in lines:
                        pass
            answer = httpx.get(url, timeout=20)
            assert answer.status_code == 502
            assert "killed" in answer.text
            assert owner.address in answer.text
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


# -- many ---------------------------------------------------------------------------------------


def test_two_hundred_connections_at_once(target) -> None:
    """All answered, every byte right, and nothing kept, here or inside."""

    async def one(client: aiohttp.ClientSession, url: PortURL, number: int) -> None:
        data = random.Random(number).randbytes(20_000 + number)

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 5000):
                yield data[start : start + 5000]

        async with client.post(url.bare + "/sum", data=pieces(), headers=url.headers) as answer:
            assert (await answer.text()) == f"{len(data)} {zlib.crc32(data)}"
        size = 100_000 + number
        async with client.get(url.bare + f"/big?{size}", headers=url.headers) as answer:
            got = await answer.read()
            assert got == (bytes(range(256)) * (size // 256 + 1))[:size]

    async def main() -> None:
        async with AsyncSandbox.create(target.profile, session=target.session) as sandbox:
            await sandbox.files.write("/tmp/web.py", WEB)
            await sandbox.start(["python3", "/tmp/web.py", "8000"])
            url = await sandbox.url(8000)
            inside = "ls /proc/self/fd | wc -l; grep -c : /proc/net/tcp"
            await sandbox.run(inside)
            await one_session(url, 1)
            gc.collect()
            before = len(os.listdir("/proc/self/fd")), rss()
            for _ in range(2):
                await one_session(url, 200)
            await asyncio.sleep(0.3)
            gc.collect()
            assert len(os.listdir("/proc/self/fd")) == before[0]
            assert rss() - before[1] < 64 * MIB
            states = (await sandbox.run("awk 'NR>1 {print $4}' /proc/net/tcp")).stdout.split()
            assert "01" not in states, "a connection inside is still open"

    async def one_session(url: PortURL, count: int) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=90)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            await asyncio.gather(*(one(client, url, number) for number in range(count)))
        await asyncio.sleep(0.1)

    asyncio.run(main())


def test_headers_are_passed_as_they_are(url: PortURL) -> None:
    answer = ask(url, X_Sandboxkit_Token=token(url), X_MiXed="a  b", User_Agent="t/1")
    headers = dict(json.loads(answer.body)["headers"])
    assert headers["X-MiXed"] == "a  b"
    assert headers["User-Agent"] == "t/1"
