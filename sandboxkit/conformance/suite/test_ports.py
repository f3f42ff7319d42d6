"""What listens inside is reached: plain connections by `forward`, HTTP by `url`."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest

from sandboxkit import (
    InvalidRequestError,
    PortRefusedError,
    Sandbox,
    SandboxNotFoundError,
    UnsupportedError,
)

from .port_servers import ECHO, WEB, serve

MIB = 1 << 20


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def exchange(host: str, port: int, data: bytes) -> bytes:
    """Send all while reading all, with a half-close in between."""
    with socket.create_connection((host, port), timeout=30) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        got = bytearray()
        while chunk := client.recv(65536):
            got += chunk
        thread.join()
        return bytes(got)


# -- forward ------------------------------------------------------------------------------------


@pytest.mark.needs("ports")
def test_a_forward_carries_bytes_both_ways_and_each_end_alone(sandbox: Sandbox) -> None:
    serve(sandbox, ECHO, 7000)
    sandbox.url(7000)
    with sandbox.forward(7000) as forward:
        assert forward.host == "127.0.0.1"
        for size in (0, 1, 65536, 10 * MIB):
            data = random.Random(size).randbytes(size)
            assert exchange(forward.host, forward.port, data) == data + b"<end>"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((forward.host, forward.port), timeout=5)


@pytest.mark.needs("ports")
def test_a_forward_to_a_port_that_nobody_listens_at(sandbox: Sandbox) -> None:
    with sandbox.forward(7999) as forward:
        with socket.create_connection((forward.host, forward.port), timeout=10) as client:
            with pytest.raises(ConnectionResetError):
                client.recv(1)


@pytest.mark.needs("ports")
def test_a_forward_takes_a_port_of_ones_own_and_says_if_it_cannot(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequestError, match=f"127.0.0.1:{port}.*in use"):
            sandbox.forward(7000, local_port=port)
    with sandbox.forward(7000, local_port=port) as forward:
        assert forward.port == port
    with pytest.raises(InvalidRequestError, match=r"no\.such\.host"):
        sandbox.forward(7000, host="no.such.host.invalid")


@pytest.mark.needs("ports")
def test_a_slow_reader_of_a_forward_holds_no_memory(sandbox: Sandbox) -> None:
    serve(sandbox, WEB, 8000)
    sandbox.url(8000)
    before = rss()
    with sandbox.forward(8000) as forward:
        with socket.create_connection((forward.host, forward.port), timeout=30) as client:
            client.sendall(b"GET /big?60000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            time.sleep(1)
            assert rss() - before < 20 * MIB
            got = 0
            while chunk := client.recv(1 << 20):
                got += len(chunk)
            assert got > 60000000
    assert rss() - before < 20 * MIB


def rss() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.needs("ports")
def test_two_hundred_connections_at_once(target) -> None:
    """All answered, every byte right, and nothing kept."""

    async def one(host: str, port: int, number: int) -> None:
        data = random.Random(number).randbytes(50_000 + number)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data)
            writer.write_eof()
            assert await reader.read() == data + b"<end>"
        finally:
            writer.close()
            await writer.wait_closed()

    async def main() -> None:
        async with target.acreate() as sandbox:
            await sandbox.files.write("/tmp/echo.py", ECHO)
            process = await sandbox.start(["python3", "/tmp/echo.py", "7000"])
            await sandbox.url(7000)
            async with await sandbox.forward(7000) as forward:
                await one(forward.host, forward.port, 0)
                gc.collect()
                before = descriptors(), rss()
                for _ in range(2):
                    await asyncio.gather(
                        *(one(forward.host, forward.port, number) for number in range(200))
                    )
                await asyncio.sleep(0.2)
                gc.collect()
                assert descriptors() == before[0]
                assert rss() - before[1] < 64 * MIB
            await process.kill()

    asyncio.run(main())


# -- url ----------------------------------------------------------------------------------------


@pytest.mark.needs("ports")
def test_the_url_waits_until_somebody_listens(sandbox: Sandbox) -> None:
    sandbox.files.write("/tmp/web.py", WEB)
    sandbox.start("sleep 0.7; exec python3 /tmp/web.py 8000")
    began = time.monotonic()
    sandbox.url(8000, wait="30s")
    assert 0.5 < time.monotonic() - began < 25


@pytest.mark.needs("ports")
def test_the_url_of_a_port_that_nobody_listens_at(sandbox: Sandbox) -> None:
    serve(sandbox, ECHO, 7000)
    sandbox.url(7000)
    began = time.monotonic()
    with pytest.raises(PortRefusedError, match=r"8000.*listens: 7000") as caught:
        sandbox.url(8000, wait=0.5)
    assert 0.5 <= time.monotonic() - began < 15
    assert isinstance(caught.value, ConnectionRefusedError)
    assert (caught.value.op, caught.value.sandbox_id) == ("url", sandbox.id)
    for wait in (0, None):
        assert sandbox.url(8000, wait=wait).startswith("http://")


@pytest.mark.needs("ports")
def test_the_url_is_text_and_its_parts(sandbox: Sandbox) -> None:
    url = sandbox.url(8000, wait=None)
    assert isinstance(url, str)
    ((name, token),) = url.headers.items()
    assert url == url.bare.replace("//", f"//sandbox:{token}@")
    assert url.bare.startswith("http://127.0.0.1:")
    assert len(token) > 40
    assert name == "X-Sandboxkit-Token"
    assert sandbox.url(8000, wait=None) == url
    assert sandbox.url(8000, wait=None, scheme="ws") == url.replace("http", "ws", 1)
    other = sandbox.url(8001, wait=None)
    assert other.bare != url.bare
    assert other.headers != url.headers
    again = pickle.loads(pickle.dumps(url))
    assert (again, again.bare, again.headers) == (url, url.bare, url.headers)


@pytest.mark.needs("ports")
@pytest.mark.parametrize("port", [0, -1, 65536, "80", None, True, 1.5])
def test_ports_that_are_none(sandbox: Sandbox, port: object) -> None:
    with pytest.raises(InvalidRequestError, match="port"):
        sandbox.url(port)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="port"):
        sandbox.forward(port)  # type: ignore[arg-type]


@pytest.mark.needs("ports")
def test_arguments_that_are_none(sandbox: Sandbox) -> None:
    for host in ("a" * 70, "", 5):
        with pytest.raises(InvalidRequestError, match="forward"):
            sandbox.forward(8000, host=host)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="wait"):
        sandbox.url(80, wait="soon")
    with pytest.raises(InvalidRequestError, match="scheme"):
        sandbox.url(80, scheme="ftp")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="port"):
        sandbox.forward(80, local_port=70000)


# -- the end ------------------------------------------------------------------------------------


@pytest.mark.needs("ports")
@pytest.mark.parametrize("end", ["kill", "close"])
def test_listeners_end_with_the_object(target, end: str) -> None:
    with target.create() as owner:
        serve(owner, ECHO, 7000)
        sandbox = Sandbox.connect(owner.address)
        url = sandbox.url(7000)
        forward = sandbox.forward(7000)
        with socket.create_connection((forward.host, forward.port), timeout=10) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            getattr(sandbox, end)()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        for port in (forward.port, int(url.rpartition(":")[2])):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
        expected = SandboxNotFoundError if end == "kill" else InvalidRequestError
        with pytest.raises(expected):
            sandbox.url(7000)
        with pytest.raises(expected):
            sandbox.forward(7000)
        sandbox.close()


@pytest.mark.needs("ports")
def test_a_sandbox_that_ends_resets_what_is_open(target) -> None:
    with target.create() as owner:
        serve(owner, ECHO, 7000)
        with Sandbox.connect(owner.address) as sandbox:
            sandbox.url(7000)
            with sandbox.forward(7000) as forward:
                with socket.create_connection((forward.host, forward.port), timeout=10) as client:
                    client.sendall(b"x")
                    assert client.recv(1) == b"x"
                    owner.kill()
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)
                with socket.create_connection((forward.host, forward.port), timeout=10) as client:
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)


@pytest.mark.needs("ports")
def test_a_forked_child_has_listeners_of_its_own(sandbox: Sandbox) -> None:
    serve(sandbox, ECHO, 7000)
    url = sandbox.url(7000)
    forward = sandbox.forward(7000)
    told, telling = os.pipe()
    waiting, ending = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(told)
            os.close(ending)
            other = sandbox.url(7000)
            with sandbox.forward(7000) as mine:
                answer = exchange(mine.host, mine.port, b"child")
            assert other != url
            assert answer == b"child<end>"
            os.write(telling, b"ready")
            os.read(waiting, 1)  # until the parent has seen that its ports are closed
            status = 0
        finally:
            os._exit(status)
    os.close(telling)
    os.close(waiting)
    with os.fdopen(told, "rb") as pipe:
        assert pipe.read(5) == b"ready"
    assert exchange(forward.host, forward.port, b"parent") == b"parent<end>"
    forward.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((forward.host, forward.port), timeout=5)
    os.close(ending)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.needs("ports")
def test_listeners_end_with_a_killed_process(sandbox: Sandbox) -> None:
    script = (
        "import sys\nfrom sandboxkit import Sandbox\ns = Sandbox.connect(sys.argv[1])\n"
        "print(s.forward(7000).port, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, sandbox.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        child.kill()
        child.wait()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.without("ports")
def test_without_the_capability_nothing_listens(sandbox: Sandbox) -> None:
    for attempt in (sandbox.url, sandbox.forward):
        with pytest.raises(UnsupportedError) as caught:
            attempt(8000)
        assert caught.value.capability == "ports"


@pytest.mark.needs("ports")
def test_create_takes_ports(target) -> None:
    with target.create(ports=[8000, 8001]) as sandbox:
        assert sandbox.url(8002, wait=None)
    for ports in ([0], ["8000"], [70000]):
        with pytest.raises(InvalidRequestError, match="ports"):
            target.create(ports=ports)


@pytest.mark.without("ports")
def test_create_refuses_ports(target) -> None:
    with pytest.raises(UnsupportedError) as caught:
        target.create(ports=[8000])
    assert caught.value.capability == "ports"


@pytest.mark.needs("port_urls", "commands")
def test_the_providers_own_url_answers(sandbox: Sandbox) -> None:
    serve(sandbox, WEB, 8000)
    with urllib.request.urlopen(sandbox.url(8000), timeout=30) as answer:
        assert answer.status == 200


@pytest.mark.needs("ports")
@pytest.mark.without("port_urls")
def test_urls_are_of_this_machine_alone(sandbox: Sandbox) -> None:
    assert urllib.parse.urlsplit(sandbox.url(8000, wait=None)).hostname == "127.0.0.1"
