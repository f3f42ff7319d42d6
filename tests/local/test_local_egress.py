"""The proxy of a local sandbox: who it is, and what ends with what."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from sandboxkit.errors import SandboxError
from sandboxkit_local.jail import idmap
from tests.egress.running import OK, answering, server
from tests.leaks import Census
from tests.local.harness import KIND, Harness, eventually

ASK = (
    "import sys, urllib.error, urllib.request\n"
    "try: print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())\n"
    "except urllib.error.HTTPError as error: print(error.code)\n"
    "except OSError as error: print('nothing', error)\n"
)


def proxies(state: Path) -> dict[int, str]:
    """Pids and titles of the proxies of one daemon."""
    found = Census.take(state).processes
    return {pid: title for pid, _, title in found if title.startswith("sandboxkit-egress-")}


def ask(local: Harness, sandbox_id: str, port: int) -> str:
    url = f"http://127.0.0.1:{port}/"
    direct = {"no_proxy": "", "NO_PROXY": ""}  # this host's loopback, not the sandbox's
    return local.sh(sandbox_id, ("python3", "-c", ASK, url), env=direct).strip()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_proxy_has_no_rights(local: Harness, state: Path):
    local.create(network=("127.0.0.1",))
    (pid,) = proxies(state)
    status = status_of(pid)
    if KIND == "root":
        assert set(status["Uid"].split()) == {str(idmap.ROOT_BASE + 65_534)}
        assert set(status["Gid"].split()) == {str(idmap.ROOT_BASE + 65_534)}
        assert status["Groups"].strip() == ""
    assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0 or KIND != "root", "its memory can be read"
    if os.getuid() == 0:
        # The sandbox's socket, the daemon's, its own; nothing else of the daemon's.
        links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert sum(link.startswith("socket:") for link in links) <= 5, links
        files = {os.path.basename(link) for link in links if link.startswith("/")}
        assert files <= {"null", "daemon.log"}, links


def test_it_ends_with_its_sandbox(local: Harness, state: Path):
    first, *_ = [local.create(network=("127.0.0.1",)) for _ in range(3)]
    assert len(proxies(state)) == 3
    local.kill(first.id)
    assert len(proxies(state)) == 2
    local.create(network=("127.0.0.1",), lifetime=1.0)
    eventually(lambda: len(proxies(state)) == 2)


def test_its_death_leaves_nothing_open(local: Harness, state: Path):
    info = local.create(network=("127.0.0.1",))
    with server(answering(OK)) as there:
        assert ask(local, info.id, there.port) == "hello"
        (pid,) = proxies(state)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not proxies(state))
        assert ask(local, info.id, there.port).startswith("nothing")
        assert len(there.received) == 1
    assert local.sh(info.id, "echo lives").strip() == "lives"


def test_what_cannot_be_made_leaves_no_proxy(local: Harness, state: Path):
    with pytest.raises(SandboxError):
        local.create(network=("127.0.0.1",), workdir="/proc/x")
    eventually(lambda: not proxies(state))


def test_it_dies_with_the_daemon(local: Harness, state: Path):
    local.create(network=("127.0.0.1",))
    assert proxies(state)
    os.kill(local.daemon_pid(), signal.SIGKILL)
    eventually(lambda: not proxies(state))
    local.made.clear()


def test_sandboxes_have_each_their_own(local: Harness, state: Path):
    with server(answering(OK)) as there:
        one = local.create(network=("127.0.0.1",))
        other = local.create(network=("203.0.113.0/24",))
        none = local.create()
        assert ask(local, one.id, there.port) == "hello"
        assert ask(local, other.id, there.port) == "403"
        proxy_env = {"http_proxy": "http://127.0.0.1:3128", "no_proxy": ""}
        url = f"http://127.0.0.1:{there.port}/"
        told = local.sh(none.id, ("python3", "-c", ASK, url), env=proxy_env)
        assert told.startswith("nothing")
        assert len(there.received) == 1


def test_variables_of_ones_own_win(local: Harness):
    info = local.create(network=("127.0.0.1",), env={"HTTPS_PROXY": "http://mine:1"})
    told = dict(line.split("=", 1) for line in local.sh(info.id, "env").splitlines())
    assert told["HTTPS_PROXY"] == "http://mine:1"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        assert told[name] == "http://127.0.0.1:3128"
    assert told["no_proxy"] == told["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert "_proxy" not in local.sh(local.create().id, "env").lower()


def test_nothing_inside_can_take_the_way_out_away(local: Harness):
    """The socket is open before anything runs, so the port is nobody else's."""
    info = local.create(network=("127.0.0.1",))
    script = "import socket; socket.create_server(('127.0.0.1', 3128))"
    ran = local.run(info.id, ("python3", "-c", script))
    assert "Address already in use" in ran.stderr
    with server(answering(OK)) as there:
        assert ask(local, info.id, there.port) == "hello"


def test_unix_sockets_lead_nowhere(local: Harness):
    """Abstract ones belong to a network, and it is the sandbox's own."""
    name = f"\0sandboxkit-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        info = local.create(network=("127.0.0.1",))
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        assert "ConnectionRefused" in local.run(info.id, ("python3", "-c", script)).stderr
