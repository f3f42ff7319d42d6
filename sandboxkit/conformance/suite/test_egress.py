"""A sandbox with rules reaches what they name, and nothing else, whatever it tries."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandboxkit import InvalidRequestError, Sandbox

from .test_network import PUBLIC, addresses, gateway, reaches

NAME = socket.gethostname()
"""What this machine is called, which whoever lets a sandbox out must know where it is the same."""
NOWHERE = "203.0.113.0/24"
"""Documentation's network, in which nobody is."""

ASK = """
import json, sys, urllib.error, urllib.request
told = {}
for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            told[url] = answer.read(100).decode()
    except urllib.error.HTTPError as error:
        told[url] = error.code
    except OSError as error:
        told[url] = str(error)
print(json.dumps(told))
"""


@contextmanager
def web_here() -> Iterator[tuple[int, list[str]]]:
    """A web server on this machine: its port, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from here")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(sandbox: Sandbox, *urls: str) -> dict[str, object]:
    """What a program inside hears, which uses a proxy if its environment names one."""
    ran = sandbox.run(["python3", "-c", ASK, *urls], timeout=90)
    assert ran.ok, ran
    return json.loads(ran.stdout)


def urls(hosts: list[str], port: int) -> list[str]:
    return [f"http://{host}:{port}/" for host in hosts]


@pytest.mark.needs("network_rules", "commands")
def test_a_network_that_is_named_is_reached(target) -> None:
    rules = [f"{address}/32" for address in addresses()]
    (item,) = Sandbox.plan(target.profile, network=rules).items
    assert (item.capability, item.level, item.security) == ("network_rules", "native", True)
    with target.create(network=rules) as sandbox, web_here() as (port, asked):
        told = ask(sandbox, *urls(addresses(), port))
        assert "hello from here" in told.values(), told
        assert asked
        # As it is enforced, also for who has not created it: an address is a network of one.
        assert set(sandbox.info().network) == set(rules)
        with Sandbox.connect(sandbox.address) as other:
            assert set(other.info().network) == set(rules)


@pytest.mark.needs("network_rules", "commands")
def test_a_host_that_is_named_is_reached(target) -> None:
    # Many a machine's name leads to its loopback, which takes a rule of its own.
    with target.create(network=[NAME, "127.0.0.0/8"]) as sandbox, web_here() as (port, _):
        told = ask(sandbox, *urls([NAME], port))
        assert "hello from here" in told.values(), told


@pytest.mark.needs("network_rules", "commands")
def test_what_no_rule_names_is_not_reached(target) -> None:
    with (
        target.create(network=["example.org", NOWHERE]) as sandbox,
        web_here() as (port, asked),
    ):
        hosts = [*addresses(), *gateway(sandbox), NAME, "localhost", "127.1", "2130706433"]
        told = ask(sandbox, *urls(hosts, port), "http://example.com/", "https://example.com/")
        assert "hello from here" not in told.values(), told
        for host in addresses():
            assert not reaches(sandbox, host, port), host
        assert not reaches(sandbox, *PUBLIC)
        assert asked == []


@pytest.mark.needs("network_rules", "commands")
def test_what_ignores_the_way_out_reaches_nothing(target) -> None:
    """No socket of another kind, no question to a name server, leaves by another way."""
    script = """
import socket
for kind, target in (
    (socket.SOCK_DGRAM, ("127.0.0.53", 53)),
    (socket.SOCK_DGRAM, ("8.8.8.8", 53)),
    (socket.SOCK_STREAM, ("169.254.169.254", 80)),
):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(2)
        try:
            sock.connect(target)
            sock.send(b"\\0\\1\\1\\0\\0\\1" + bytes(6) + b"\\7example\\3org\\0\\0\\1\\0\\1")
            sock.recv(100)
            print("reached", target)
        except OSError:
            pass
try:
    print("resolved", socket.getaddrinfo("example.org", 80))
except OSError:
    pass
"""
    with target.create(network=["example.org"]) as sandbox:
        ran = sandbox.run(["timeout", "60", "python3", "-c", script], timeout=90)
        assert (ran.exit_code, ran.stdout) == (0, ""), ran


@pytest.mark.needs("network_rules", "commands")
def test_a_wide_network_does_not_open_what_is_special_in_it(target) -> None:
    """Not the loopback of whoever lets it out, and not where clouds keep a machine's secrets."""
    rules = ["0.0.0.0/0", "::/0", "localhost"]
    with target.create(network=rules) as sandbox, web_here() as (port, asked):
        asking = urls(["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"], port)
        told = ask(sandbox, *asking, "http://169.254.169.254/latest/meta-data/")
        own = {"127.0.0.1", "localhost", "[::1]"}  # of the sandbox itself, where nobody listens
        refused = [url for url, answer in told.items() if answer == 403]
        assert all(url in refused or any(host in url for host in own) for url in told), told
        assert asked == []


@pytest.mark.needs("network_rules", "commands", "snapshots")
def test_rules_are_not_saved_and_not_lost(target) -> None:
    """What starts from a snapshot has its own, a fork has those of its source."""
    rules = [f"{address}/32" for address in addresses()]
    with target.create(network=rules) as sandbox, web_here() as (port, asked):
        saved = sandbox.snapshot()
        try:
            with target.create(snapshot=saved) as cut:
                assert "hello from here" not in ask(cut, *urls(addresses(), port)).values()
                assert asked == []
            with target.create(snapshot=saved, network=rules) as other:
                assert "hello from here" in ask(other, *urls(addresses(), port)).values()
        finally:
            saved.delete()
        (fork,) = sandbox.fork(1)
        with fork:
            assert set(fork.info().network) == set(rules)
            assert "hello from here" in ask(fork, *urls(addresses(), port)).values()


@pytest.mark.needs("network_rules", "commands", "pause")
def test_rules_hold_after_a_pause(target) -> None:
    rules = [f"{address}/32" for address in addresses()]
    with target.create(network=rules) as sandbox, web_here() as (port, _):
        sandbox.pause()
        sandbox.resume()
        told = ask(sandbox, *urls(addresses(), port), "http://203.0.113.1/")
        assert "hello from here" in told.values()
        assert told["http://203.0.113.1/"] != "hello from here"


BAD_RULES = [
    ([], "none"),
    (["https://example.org/x"], "'example.org'"),
    (["example.org:443"], "port"),
    (["10.0.0.0/33"], "10.0.0.0/33"),
    (["10.0.0.1/8"], "10.0.0.0/8"),
    (["*"], "full"),
    (["a.*.example.org"], "star"),
    (["exa mple.org"], "exa mple.org"),
    (["full"], "full"),
    (["example.org", 7], "7"),
]


@pytest.mark.parametrize(("rules", "says"), BAD_RULES, ids=[repr(bad) for bad, _ in BAD_RULES])
def test_bad_rules_are_refused_before_anything_is_made(target, rules: list, says: str) -> None:
    with pytest.raises(InvalidRequestError, match="network") as caught:
        target.create(network=rules)
    assert says in str(caught.value)
    assert caught.value.outcome == "not_started"
    assert Sandbox.list(target.profile, session=target.session) == []
