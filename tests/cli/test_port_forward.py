"""`sandboxkit port-forward` as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandboxkit import Sandbox
from sandboxkit.conformance.suite.port_servers import ECHO, WEB, serve


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.create("local", lifetime="10m") as made:
        serve(made, ECHO, 7000)
        serve(made, WEB, 8000)
        made.url(7000)
        made.url(8000)
        yield made


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sandboxkit.cli", "port-forward", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def echoed(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := client.recv(100):
            got += chunk
        return got


def test_it_forwards_until_ctrl_c(sandbox: Sandbox) -> None:
    chosen = free_port()
    with running(sandbox.address, f"{chosen}:7000", ":7000") as process:
        assert said(process) == f"127.0.0.1:{chosen} -> 7000"
        place, arrow, remote = said(process).split()
        assert (arrow, remote) == ("->", "7000")
        other = int(place.rpartition(":")[2])
        assert other != chosen
        assert echoed(chosen) == echoed(other) == b"hello<end>"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", chosen), timeout=5)
    assert "sleep" not in sandbox.run("ps ax -o args").stdout
    assert sandbox.run("echo lives").ok


def test_it_ends_with_the_sandbox_and_says_so(sandbox: Sandbox) -> None:
    with running(sandbox.address, ":7000") as process:
        assert said(process).endswith("-> 7000")
        sandbox.kill()
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert f"{sandbox.address} has ended: killed" in process.stderr.read()


def test_urls(sandbox: Sandbox) -> None:
    with running("--json", "--url", sandbox.address, "8000") as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("]\n"):
            text += process.stdout.readline()
        (one,) = json.loads(text)
        assert one["remote"] == 8000
        _, _, rest = one["here"].partition("//sandbox:")
        token, _, place = rest.partition("@")
        request = urllib.request.Request(
            f"http://{place}/nothing", headers={"X-Sandboxkit-Token": token}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 204


@pytest.mark.parametrize(
    "arguments",
    [
        ("a:b",),
        ("0",),
        ("70000",),
        ("1:2:3",),
        ("-1",),
        ("",),
        ("8000:",),
        ("--url", "1:8000"),
        ("--url", "--host", "0.0.0.0", "8000"),
    ],
)
def test_what_it_does_not_understand(arguments: tuple[str, ...]) -> None:
    with running("local:000000000000", *arguments) as process:
        assert process.wait(20) == 2


def test_a_port_that_is_taken(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(sandbox.address, f"{port}:7000") as process:
            assert process.wait(20) == 1
            assert process.stderr is not None
            assert "in use" in process.stderr.read()
