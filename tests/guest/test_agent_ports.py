from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, RawClient, eventually

MIB = 1 << 20


@contextmanager
def listening(family: int = socket.AF_INET, backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket(family) as server:
        server.settimeout(20)
        server.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        server.listen(backlog)
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def free_port() -> int:
    with listening() as server:
        return port_of(server)


def connect(client: RawClient, server: socket.socket) -> tuple[int, socket.socket]:
    stream = client.open("connect_port", port=port_of(server))
    client.event(stream, "connected")
    peer, _ = server.accept()
    peer.settimeout(20)
    return stream, peer


def descriptors(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


def fill(peer: socket.socket) -> int:
    """Send until nobody has taken anything for a while; how many bytes were taken."""
    peer.settimeout(0.5)
    sent = 0
    try:
        while True:
            sent += peer.send(bytes(65536))
    except TimeoutError:
        return sent


def data(client: RawClient, stream: int, size: int) -> bytes:
    got = b""
    while len(got) < size:
        frame = client.frame(stream)
        assert frame.type == frames.DATA, frame
        got += frame.payload
    return got


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_bytes_go_both_ways_and_each_end_is_passed_on(client: RawClient, family: int) -> None:
    with listening(family) as server:
        stream, peer = connect(client, server)
        with peer:
            client.write(stream, b"question", fin=False)
            assert peer.recv(100) == b"question"
            peer.sendall(b"answer")
            assert data(client, stream, 6) == b"answer"
            client.write(stream, b"!")
            assert (peer.recv(100), peer.recv(100)) == (b"!", b"")
            peer.sendall(b"late")
        outcome = client.finish(stream)
        assert bytes(outcome.data[0]) == b"late"
        assert (outcome.order[-1], outcome.result) == ("fin0", {})


def test_what_was_sent_before_the_connection_arrives(client: RawClient) -> None:
    port = free_port()
    stream = client.open("connect_port", port=port, wait=20)
    client.write(stream, b"early")
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        peer, _ = server.accept()
        with peer:
            assert (peer.recv(100), peer.recv(100)) == (b"early", b"")
    assert client.finish(stream).result == {}


def test_nobody_listens(agent: Agent, client: RawClient) -> None:
    client.call("ping")
    before = descriptors(agent)
    with listening() as other:
        outcome = client.call("connect_port", port=free_port())
        assert outcome.error is not None
        assert outcome.error["code"] == "refused"
        assert str(port_of(other)) in outcome.error["message"]
    began = time.monotonic()
    outcome = client.call("connect_port", port=free_port(), wait=0.4)
    assert outcome.error is not None
    assert "within 0.4 s" in outcome.error["message"]
    assert time.monotonic() - began >= 0.4
    assert descriptors(agent) == before


ALONE = """
import os, sys
from sandboxkit_local.jail.network import loopback_up
loopback_up()
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as numbers:
    numbers.write("40000 40001")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_port_never_answers_itself(tmp_path: Path) -> None:
    """In a network where the kernel has two ports to choose from, ours is soon on both ends."""
    (tmp_path / "alone.py").write_text(ALONE)
    wrapper = tmp_path / "python"
    unshared = f"unshare --user --map-root-user --net {sys.executable} {tmp_path}/alone.py"
    wrapper.write_text(f'#!/bin/sh\nexec {unshared} "$@"\n')
    wrapper.chmod(0o755)
    agent = Agent(tmp_path, python=str(wrapper))
    try:
        client = RawClient(agent.first)
        for port in (40000, 40001) * 10:
            outcome = client.call("connect_port", port=port)
            assert outcome.error is not None, outcome.order
            assert outcome.error["code"] == "refused"
            assert "nothing listens" in outcome.error["message"]
    finally:
        agent.stop()
    assert agent.errors == b""


@pytest.mark.parametrize("port", [0, -1, 65536, "80", None, True, 1.5])
def test_ports_that_are_none(client: RawClient, port: object) -> None:
    outcome = client.call("connect_port", port=port)
    assert outcome.error is not None
    assert outcome.error["code"] == "bad_request"


@pytest.mark.parametrize("wait", [-1, "x", float("1e300"), True])
def test_waits_that_are_none(client: RawClient, wait: object) -> None:
    outcome = client.call("connect_port", port=80, wait=wait)
    assert outcome.error is not None
    assert outcome.error["code"] == "bad_request"


@pytest.mark.parametrize("end", ["reset", "lost", "bye"])
def test_a_client_that_lets_go_resets_the_connection(
    agent: Agent, client: RawClient, end: str
) -> None:
    client.call("ping")
    before = descriptors(agent)
    with listening() as server:
        other = agent.dial()
        stream, peer = connect(other, server)
        if end == "reset":
            other.reset(stream)
            assert other.finish(stream).result == {}
            other.sock.close()
        elif end == "bye":
            other.bye()
        else:
            other.sock.close()
        with peer, pytest.raises(ConnectionResetError):
            peer.recv(1)
    assert eventually(lambda: descriptors(agent) == before)


def test_a_wait_that_is_let_go_ends(agent: Agent, client: RawClient) -> None:
    stream = client.open("connect_port", port=free_port(), wait=1000)
    client.call("ping")
    client.reset(stream)
    assert client.finish(stream).result == {}


def test_a_server_that_resets_is_told(agent: Agent, client: RawClient) -> None:
    client.call("ping")
    before = descriptors(agent)
    with listening() as server:
        stream, peer = connect(client, server)
        peer.sendall(b"last words")
        assert data(client, stream, 10) == b"last words"
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        outcome = client.finish(stream)
        assert outcome.error is not None
        assert outcome.error["code"] == "reset"
    assert eventually(lambda: descriptors(agent) == before)


def test_a_reset_is_no_end_also_when_the_writing_side_meets_it(client: RawClient) -> None:
    with listening() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream, peer = connect(client, server)
        # More than both sockets hold: the rest waits in the agent to be written.
        for _ in range(100):
            client.write(stream, bytes(min(65536, client.credit[stream])), fin=False)
            client.call("ping")
            if not client.credit[stream]:
                break
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        outcome = client.finish(stream)
        assert outcome.error is not None, outcome.order
        assert outcome.error["code"] == "reset"


def test_an_answer_arrives_although_the_question_was_not_read(client: RawClient) -> None:
    with listening() as server:
        stream, peer = connect(client, server)
        client.write(stream, b"x" * 1000, fin=False)
        assert eventually(lambda: peer.recv(1, socket.MSG_PEEK) == b"x")
        peer.sendall(b"too much")
        peer.close()  # with bytes unread, which the kernel tells as a reset
        got = b""
        while (frame := client.frame(stream)).type == frames.DATA:
            got += frame.payload
        assert got == b"too much"


def test_neither_side_is_held_in_memory(agent: Agent, client: RawClient) -> None:
    client.call("ping")
    before = agent.rss()
    with listening() as server:
        stream, peer = connect(client, server)
        client.stalled.add(stream)
        sent = fill(peer)
        assert client.call("ping").result == {}
        peer.settimeout(20)
        client.stalled.clear()
        client.send(frames.encode_credit(stream, 0, 1 << 30))
        outcome_bytes = 0
        while outcome_bytes < sent:
            outcome_bytes += len(client.frame(stream).payload)
        # The other way: the server does not read, so credit runs out.
        while client.credit[stream]:
            client.write(stream, bytes(min(65536, client.credit[stream])), fin=False)
            if client.credit[stream] == 0:
                client.call("ping")
        peer.close()
    assert agent.rss(peak=True) - before < 8 * MIB


def test_much_goes_through_unchanged(client: RawClient) -> None:
    sent = random.Random(5).randbytes(20 * MIB)
    with listening() as server:
        stream, peer = connect(client, server)

        def echo() -> None:
            with peer:
                while chunk := peer.recv(65536):
                    peer.sendall(chunk)

        thread = threading.Thread(target=echo)
        thread.start()
        got = bytearray()
        view = memoryview(sent)
        while view:
            while client.inbox[stream]:
                got += client.inbox[stream].popleft().payload
            client.write(stream, view[:65536], fin=len(view) <= 65536)
            view = view[65536:]
        got += client.finish(stream).data[0]
        thread.join()
        assert got == sent


def test_connections_are_bounded(agent: Agent, client: RawClient) -> None:
    client.call("ping")
    before = descriptors(agent)
    port = free_port()
    streams = [client.open("connect_port", port=port, wait=1000) for _ in range(512)]
    outcome = client.call("connect_port", port=port)
    assert outcome.error is not None
    assert outcome.error["code"] == "too_many"
    for stream in streams:
        client.reset(stream)
        assert client.finish(stream).result == {}
    with listening() as server:
        stream, peer = connect(client, server)
        client.reset(stream)
        peer.close()
    assert eventually(lambda: descriptors(agent) == before)
