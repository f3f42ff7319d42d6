"""An engine that does not see this machine's files: the guest is reached through it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from sandboxkit import Sandbox
from tests import engine


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The engine as it looks from another machine: behind a TCP port, with no file in common."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener,), daemon=True).start()
    address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("DOCKER_HOST", address)
    yield address
    listener.close()


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(near,), daemon=True).start()


def _join(near: socket.socket) -> None:
    with near, socket.socket(socket.AF_UNIX) as far:
        far.connect(engine.SOCKET)
        back = threading.Thread(target=_copy, args=(far, near))
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


def test_everything_travels_over_one_attached_stream(remote: str, session: str) -> None:
    with Sandbox.create("docker", session=session) as sandbox:
        mounts = engine.inspect(sandbox.id)["HostConfig"]["Mounts"]
        assert [mount["Type"] for mount in mounts] == ["volume"]
        assert sandbox.run("echo over the stream").stdout == "over the stream\n"
        content = bytes(range(256)) * 20_000
        sandbox.files.write("big", content)
        assert sandbox.files.read_bytes("big") == content
        much = sandbox.run("head -c 20000000 /dev/zero", max_output="32MiB")
        assert much.stdout_total == len(much.stdout_bytes) == 20_000_000
        assert sandbox.run_code("6 * 7").text == "42"
        with Sandbox.connect(sandbox.address) as other:
            assert other.run("cat", stdin="x" * 300_000).stdout == "x" * 300_000
        assert sandbox.kill()


def test_a_local_client_reaches_what_a_remote_one_made(
    remote: str, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox.create("docker", session=session) as sandbox:
        monkeypatch.delenv("DOCKER_HOST")
        with Sandbox.connect(sandbox.address) as local:
            assert local.run("echo here too").stdout == "here too\n"
