"""A proxy that runs: what it lets through, and every way past it that we know of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.egress.running import OK, answering, echo, proxy, rest, server

HERE = "127.0.0.1"


def resolving(**names: list[str] | str) -> str:
    """A preamble by which names lead to addresses, one list a question."""
    known = {name.replace("_", "."): found for name, found in names.items()}
    return f"""
known = {known!r}
def getaddrinfo(name, port, **options):
    found = known[name.decode()]
    addresses = found.pop(0).split() if isinstance(found, list) else found.split()
    return [(0, 0, 0, "", (address, port)) for address in addresses]
lookup.socket = types.SimpleNamespace(getaddrinfo=getaddrinfo, SOCK_STREAM=1)
"""


NO_RESOLVER = "lookup._ask = lambda *_: os._exit(9)"


# -- what is let through ------------------------------------------------------------------------


def test_a_tunnel_carries_anything_both_ways() -> None:
    with proxy(HERE) as running, server(echo) as there:
        with running.tunnel(f"{HERE}:{there.port}") as sock:
            data = os.urandom(1 << 20)
            sending = threading.Thread(target=sock.sendall, args=(data,))
            sending.start()
            back = b""
            while len(back) < len(data):
                back += sock.recv(65_536)
            sending.join()
            assert back == data
            sock.sendall(b"last words")
            sock.shutdown(socket.SHUT_WR)  # the other direction lives on
            assert rest(sock) == b"last words"


def test_what_is_sent_with_the_request_is_not_lost() -> None:
    with proxy(HERE) as running, server(echo) as there, running.connect() as sock:
        sock.sendall(f"CONNECT {HERE}:{there.port} HTTP/1.1\r\n\r\nearly".encode())
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock).endswith(b"\r\n\r\nearly")


def test_plain_http() -> None:
    with proxy(HERE) as running, server(answering(OK)) as there:
        answer = running.ask(
            f"POST http://{HERE}:{there.port}/p?q HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
            "\r\nbody".encode()
        )
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"Connection: close\r\n\r\nhello")
    head, _, body = bytes(there.received[0]).partition(b"\r\n\r\n")
    assert head.startswith(f"POST /p?q HTTP/1.1\r\nHost: {HERE}:{there.port}\r\n".encode())
    assert body == b"body"


def test_a_chunked_body_arrives_as_it_was_meant() -> None:
    with proxy(HERE) as running, server(answering(OK)) as there:
        running.ask(
            f"POST http://{HERE}:{there.port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.1".encode()
        )
    _, _, body = bytes(there.received[0]).partition(b"\r\n\r\n")
    assert body == b"5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n"


def test_a_server_that_says_go_on_is_heard() -> None:
    def serve(connection: socket.socket, received: bytearray) -> None:
        received += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        received += connection.recv(65_536)
        connection.sendall(OK)

    with proxy(HERE) as running, server(serve) as there, running.connect() as sock:
        sock.sendall(
            f"PUT http://{HERE}:{there.port}/ HTTP/1.1\r\nExpect: 100-continue\r\n"
            "Content-Length: 2\r\n\r\n".encode()
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ab")
        assert rest(sock).endswith(b"hello")


def test_an_answer_before_the_end_of_a_body_is_heard() -> None:
    def serve(connection: socket.socket, received: bytearray) -> None:
        received += connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with proxy(HERE) as running, server(serve) as there:
        head = f"PUT http://{HERE}:{there.port}/ HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n"
        answer = running.ask(head.encode() + bytes(1 << 20))
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_ipv6() -> None:
    with proxy("::1") as running, server(echo, "::1") as there:
        with running.tunnel(f"[::1]:{there.port}") as sock:
            sock.sendall(b"six")
            assert sock.recv(10) == b"six"
        assert running.ask(b"CONNECT [::2]:80 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_a_reset_is_not_taken_for_the_end() -> None:
    def serve(connection: socket.socket, received: bytearray) -> None:
        received += connection.recv(100)
        connection.sendall(b"half of it")
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with proxy(HERE) as running, server(serve) as there:
        with running.tunnel(f"{HERE}:{there.port}") as sock:
            sock.sendall(b"?")
            assert sock.recv(10, socket.MSG_WAITALL) == b"half of it"
            with pytest.raises(ConnectionResetError):
                sock.recv(100)


@pytest.mark.parametrize("version", ["3.8.18", "3.13.0"])
def test_other_interpreters(version: str) -> None:
    python = Path(f"~/.pyenv/versions/{version}/bin/python").expanduser()
    if not python.exists():
        pytest.skip(f"there is no Python {version} here")
    with proxy(HERE, python=str(python)) as running, server(answering(OK)) as there:
        asked = f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n\r\n".encode()
        assert running.ask(asked).endswith(b"hello")
        with server(echo) as other, running.tunnel(f"{HERE}:{other.port}") as sock:
            sock.sendall(b"x")
            assert sock.recv(10) == b"x"
        assert b" 403 " in running.ask(b"CONNECT 10.0.0.1:1 HTTP/1.1\r\n\r\n")


# -- what is not --------------------------------------------------------------------------------

WAYS_TO_LOOPBACK = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0"),
    *("localhost", "LOCALHOST.", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]"),
    *("example.org@127.0.0.1", "example.org%00.127.0.0.1", "127.0.0.1%20.example.org"),
    *("[::1%25lo]", "①②⑦.⓪.⓪.①", "127。0。0。1"),
]


@pytest.mark.parametrize("host", WAYS_TO_LOOPBACK)
def test_no_way_of_writing_an_address_leads_past_the_rules(host: str) -> None:
    rules = ("example.org", "localhost", "203.0.113.0/24", "0.0.0.0/0", "::/0")
    with proxy(*rules) as running, server(answering(OK)) as there:
        for line in (f"CONNECT {host}:{there.port}", f"GET http://{host}:{there.port}/"):
            answer = running.ask(f"{line} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
            assert answer[:12] in (b"HTTP/1.1 403", b"HTTP/1.1 400"), answer
    assert there.received == []


def test_a_denial_says_why() -> None:
    with proxy("example.org", "localhost", preamble=NO_RESOLVER) as running:
        answer = running.ask(b"GET http://pypi.org/ HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 Denied by the sandbox's rules\r\n")
        assert answer.endswith(
            b"sandboxkit: pypi.org is not among what this sandbox may reach: no rule names it\n"
        )
    with proxy("localhost") as running:
        answer = running.ask(b"CONNECT localhost:80 HTTP/1.1\r\n\r\n")
        assert b"it leads to " in answer
        assert b"name that network too" in answer


def test_a_name_that_no_rule_names_is_not_looked_up() -> None:
    """Else the question would carry out what is in the name."""
    with proxy("example.org", "10.0.0.0/8", "127.0.0.0/8", preamble=NO_RESOLVER) as running:
        for host in ("my-secret.attacker.example", "localhost", "sub.example.org"):
            answer = running.ask(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 403 "), answer
        assert running.process.poll() is None


def test_what_is_connected_to_is_what_was_checked() -> None:
    """A name that leads somewhere else the second time it is asked for is asked for once."""
    names = resolving(
        re_bind=["203.0.113.1", HERE], mixed_example=f"{HERE} 169.254.169.254 192.0.2.77"
    )
    quick = "exchange.CONNECT_TIME = 0.3\n"
    with proxy("re.bind", "mixed.example", preamble=quick + names) as running:
        with server(answering(OK)) as there:
            for host in ("re.bind", "mixed.example"):
                asked = f"GET http://{host}:{there.port}/ HTTP/1.1\r\n\r\n".encode()
                assert running.ask(asked).startswith(b"HTTP/1.1 502 ")
        assert there.received == []


def test_a_name_leads_where_its_rules_allow() -> None:
    names = resolving(db_corp="10.9.8.7", a_corp="10.9.8.7", here_corp=f"203.0.113.1 {HERE}")
    quick = "exchange.CONNECT_TIME = 0.3\n"
    with proxy("db.corp", "*.corp", HERE, preamble=quick + names) as running:
        with server(answering(OK)) as there:
            port = there.port
            for host, status in (("db.corp", b"502"), ("a.corp", b"403"), ("here.corp", b"200")):
                answer = running.ask(f"GET http://{host}:{port}/ HTTP/1.1\r\n\r\n".encode())
                assert answer[9:12] == status, (host, answer)


def test_the_host_that_is_asked_for_is_the_one_that_was_checked() -> None:
    with proxy(HERE) as running, server(answering(OK)) as there:
        for host in (b"Host: secret.internal\r\n", b"host:secret.internal\r\n", b""):
            running.ask(
                f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n".encode()
                + host
                + b"X-Forwarded-Host: x\r\n\r\n"
            )
    assert len(there.received) == 3
    for received in there.received:
        assert f"\r\nHost: {HERE}:{there.port}\r\n".encode() in received
        assert b"secret.internal" not in received


def test_a_second_request_on_a_connection_goes_nowhere() -> None:
    second = b"GET http://x/second HTTP/1.1\r\nHost: secret.internal\r\n\r\n"
    with proxy(HERE) as running, server(answering(OK)) as there:
        base = f"http://{HERE}:{there.port}/"
        for first in (
            f"GET {base} HTTP/1.1\r\n\r\n",
            f"POST {base} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            f"POST {base} HTTP/1.1\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
            f"POST {base} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ):
            answer = running.ask(first.encode() + second)
            assert answer.count(b"HTTP/1.1 200") == 1
    for received in there.received:
        assert b"second" not in received
        assert b"secret" not in received


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\n0\n\n",
        b"-1\r\n",
        b"5 5\r\nhello",
        b"0x5\r\nhello\r\n",
        b"3\r\nhello\r\n",
        b"\r\n",
    ],
)
def test_chunks_that_are_none_end_the_connection(body: bytes) -> None:
    with proxy(HERE) as running, server(answering(OK)) as there:
        head = f"POST http://{HERE}:{there.port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        with running.connect() as sock:
            sock.sendall(head.encode() + body)
            sock.shutdown(socket.SHUT_WR)
            rest(sock)
    assert all(b"0\r\n\r\n" not in received for received in there.received)


def test_a_redirect_is_the_clients_to_follow() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.9/x\r\nContent-Length: 0\r\n\r\n"
    with proxy(HERE) as running, server(answering(answer)) as there:
        told = running.ask(f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n\r\n".encode())
        assert b"\r\nLocation: http://127.0.0.9/x\r\n" in told
        assert b" 403 " in running.ask(b"GET http://127.0.0.9/x HTTP/1.1\r\n\r\n")
    assert len(there.received) == 1


def test_what_is_no_request() -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
    socks = b"\x05\x01\x00\r\n\r\n"
    with proxy(HERE) as running:
        for bad in (hello, socks, b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 100 + b"\r\n\r\n"):
            assert running.ask(bad).startswith(b"HTTP/1.1 400 "), bad
        with running.connect() as sock:
            sock.sendall(b"GET http://127.0")
            sock.shutdown(socket.SHUT_WR)
            assert rest(sock).startswith(b"HTTP/1.1 400 ")
        with running.connect():
            pass
        assert running.process.poll() is None


def test_what_cannot_be_reached() -> None:
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    with proxy(HERE, "nowhere.invalid") as running:
        answer = running.ask(f"CONNECT {HERE}:{port} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"refused" in answer


def test_a_server_that_speaks_no_http() -> None:
    for said in (b"SSH-2.0-x\r\n\r\n", b"", b"HTTP/1.1 101 Switching\r\n\r\n", b"x" * 100_000):
        with proxy(HERE) as running, server(answering(said)) as there:
            answer = running.ask(f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 502 "), said[:20]


# -- bounds -------------------------------------------------------------------------------------


def test_heads_are_bounded() -> None:
    with proxy(HERE) as running, server(answering(OK)) as there:
        base = f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n".encode()
        assert running.ask(base + b"X: " + b"a" * 60_000 + b"\r\n\r\n").endswith(b"hello")
        assert b" 431 " in running.ask(base + b"X: " + b"a" * 70_000 + b"\r\n\r\n")
        assert b" 431 " in running.ask(base + b"X: " + b"a" * 5_000_000)
        assert b" 431 " in running.ask(base + b"X: a\r\n" * 20_000)
    assert len(there.received) == 1


def test_who_deals_out_a_request_is_not_waited_for() -> None:
    with proxy(HERE, preamble="exchange.HEAD_TIME = 0.5") as running:
        with running.connect() as sock:
            began = time.monotonic()
            answer = b""
            sock.settimeout(0.1)
            while time.monotonic() - began < 10:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.send(b"X")  # a byte at a time, and never an end
                with contextlib.suppress(TimeoutError, ConnectionResetError):
                    data = sock.recv(1000)
                    answer += data
                    if not data:
                        break
            assert answer.startswith(b"HTTP/1.1 408 ")


def test_connections_are_bounded_and_none_is_lost() -> None:
    with proxy(HERE, preamble="proxy.MAX_CONNECTIONS = 8") as running, server(echo) as there:
        held = [running.tunnel(f"{HERE}:{there.port}") for _ in range(8)]
        with running.connect() as waiting:
            waiting.sendall(f"CONNECT {HERE}:{there.port} HTTP/1.1\r\n\r\n".encode())
            waiting.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            held.pop().close()
            waiting.settimeout(20)
            assert waiting.recv(12) == b"HTTP/1.1 200"
        for sock in held:
            sock.close()


def test_without_descriptors_it_waits_for_some() -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))"
    with proxy(HERE, preamble=few) as running, server(echo) as there:

        def one(_: int) -> bool:
            with running.connect() as sock:
                sock.sendall(f"CONNECT {HERE}:{there.port} HTTP/1.1\r\n\r\n".encode())
                return sock.recv(12)[:9] == b"HTTP/1.1 "

        with ThreadPoolExecutor(40) as pool:
            assert all(pool.map(one, range(80)))


def test_what_is_half_closed_and_still_does_not_stay() -> None:
    def serve(connection: socket.socket, received: bytearray) -> None:
        while data := connection.recv(100):
            received += data
        connection.recv(1)  # and keeps its own side open
        time.sleep(5)

    with proxy(HERE, preamble="relay.HALF_CLOSED = 0.5") as running, server(serve) as there:
        with running.tunnel(f"{HERE}:{there.port}") as sock:
            sock.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            rest(sock)
            assert time.monotonic() - began < 4


def test_a_hundred_at_once() -> None:
    data = os.urandom(1 << 18)
    with proxy(HERE) as running, server(echo) as there:

        def one(number: int) -> bool:
            with running.tunnel(f"{HERE}:{there.port}") as sock:
                mine = data[number:]
                sending = threading.Thread(target=lambda: (sock.sendall(mine), sock.shutdown(1)))
                sending.start()
                back = rest(sock)
                sending.join()
                return hashlib.sha256(back).digest() == hashlib.sha256(mine).digest()

        with ThreadPoolExecutor(100) as pool:
            assert all(pool.map(one, range(100)))


def test_a_large_download_takes_little_memory() -> None:
    size = 300 << 20
    piece = bytes(1 << 20)

    def serve(connection: socket.socket, received: bytearray) -> None:
        received += connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // len(piece)):
            connection.sendall(piece)

    with proxy(HERE) as running, server(serve) as there, running.connect() as sock:
        running.ask(b"CONNECT 10.0.0.1:1 HTTP/1.1\r\n\r\n")  # so that it has all that it imports
        before = running.peak()
        sock.sendall(f"GET http://{HERE}:{there.port}/ HTTP/1.1\r\n\r\n".encode())
        time.sleep(1)  # nobody reads, and nothing piles up
        buffer = bytearray(1 << 20)
        count = 0
        while got := sock.recv_into(buffer):
            count += got
        assert count > size
        assert running.peak() - before < 8 << 20


def test_it_ends_with_its_sandbox() -> None:
    with proxy(HERE) as running, server(echo) as there:
        sock = running.tunnel(f"{HERE}:{there.port}")
        running.lifeline.close()
        assert running.process.wait(10) == 0
        assert rest(sock) == b""
        sock.close()
        with pytest.raises(ConnectionRefusedError):
            running.connect()
