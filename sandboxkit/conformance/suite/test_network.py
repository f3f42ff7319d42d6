"""What a sandbox can reach is what was asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandboxkit import Sandbox

PUBLIC = ("1.1.1.1", 53)
"""Somebody who answers on TCP nearly everywhere; whether it can be reached is up to the network."""


@contextmanager
def listening_here() -> Iterator[tuple[int, list[str]]]:
    """A server on this machine: its port, and what connected to it."""
    greeted: list[str] = []
    with socket.create_server(("0.0.0.0", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, peer = server.accept()
                except OSError:
                    return
                with connection:
                    greeted.append(peer[0])
                    connection.sendall(b"hello\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], greeted
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def addresses() -> list[str]:
    """By what this machine may be known."""
    found = {"127.0.0.1"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(PUBLIC)  # sends nothing
        except OSError:
            return sorted(found)
        found.add(probe.getsockname()[0])
    return sorted(found)


def gateway(sandbox: Sandbox) -> list[str]:
    """Where the sandbox's default route leads, as the kernel tells it (hexadecimal, reversed)."""
    routes = sandbox.run("cat /proc/net/route").stdout.splitlines()[1:]
    found = [line.split()[2] for line in routes if line.split()[1] == "00000000"]
    return [socket.inet_ntoa(bytes.fromhex(text)[::-1]) for text in found]


def reaches(sandbox: Sandbox, host: str, port: int) -> bool:
    """Whether a TCP connection can be made from inside."""
    script = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{host}/{port}'"
    return sandbox.run(script, timeout=20).ok


@pytest.mark.needs("network_none", "commands")
def test_nothing_is_reachable_by_default(target) -> None:
    with target.create() as sandbox, listening_here() as (port, greeted):
        assert gateway(sandbox) == []
        for host in addresses():
            assert not reaches(sandbox, host, port), host
        assert not reaches(sandbox, *PUBLIC)
        assert greeted == []
        names = sandbox.run("timeout 5 getent hosts example.com")
        assert not names.ok


@pytest.mark.needs("network_none", "commands")
def test_loopback_is_the_sandboxs_own(target) -> None:
    with target.create() as one, target.create() as other, listening_here() as (port, greeted):
        assert not reaches(one, "127.0.0.1", port)
        assert not reaches(other, "127.0.0.1", port)
        assert greeted == []


@pytest.mark.needs("network_full", "commands")
def test_the_network_is_there_when_asked_for(target) -> None:
    with target.create(network="full") as sandbox, listening_here() as (port, _):
        here = [*gateway(sandbox), *addresses()]
        assert any(reaches(sandbox, host, port) for host in here) or reaches(sandbox, *PUBLIC)


@pytest.mark.needs("network_none")
def test_no_network_is_the_default_and_may_be_said(target) -> None:
    (item,) = Sandbox.plan(target.profile).items
    assert (item.capability, item.level, item.security) == ("network_none", "native", True)
    with target.create(network="none") as sandbox:
        assert sandbox.is_running()


@pytest.mark.without("network_none")
def test_an_open_network_has_to_be_accepted_in_words(target) -> None:
    with pytest.raises(NotImplementedError, match="network"):
        Sandbox.create(target.profile, session=target.session)
    assert Sandbox.list(target.profile, session=target.session) == []
