"""A listener takes so many connections and no more, and takes others when those have ended."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from sandboxkit import Sandbox
from sandboxkit.conformance.suite.port_servers import ECHO, serve
from sandboxkit.conformance.suite.test_ports import eventually
from sandboxkit.ports import listener


@pytest.mark.needs("ports")
def test_more_connections_than_are_taken(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 5)
    serve(sandbox, ECHO, 7000)
    sandbox.url(7000)
    with sandbox.forward(7000) as forward, ExitStack() as stack:
        place = (forward.host, forward.port)
        for _ in range(5):
            client = stack.enter_context(socket.create_connection(place, timeout=10))
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        with pytest.raises(ConnectionResetError):
            # The reset may be here before the call that connects has returned.
            with socket.create_connection(place, timeout=10) as one_more:
                one_more.recv(1)
        stack.close()
        assert eventually(lambda: _answers(place))


def _answers(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, timeout=10) as client:
            client.sendall(b"x")
            return client.recv(1) == b"x"
    except ConnectionError:
        return False
