"""The daemon's manners."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from sandboxkit.errors import ProviderUnavailableError
from sandboxkit_local import paths, start, wire
from sandboxkit_local.daemon.service import Service
from sandboxkit_local.jail.idmap import IdMap
from tests.leaks import Census
from tests.local.harness import Harness, stop_daemon

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"do":"nonesuch","id":1}', b'{"do":"ping"}', b"[" * 100_000],
)
def test_garbage_drops_that_client_alone(local: Harness, garbage: bytes):
    pid = local.daemon_pid()
    with start.connect(paths.locate()) as sock:
        sock.send(garbage)
        sock.settimeout(5)
        received = wire.receive(sock)
        if garbage:
            assert received is not None
            assert received[0]["error"]["code"] == "invalid_request"
            received = wire.receive(sock)
        assert received is None
    assert local.daemon_pid() == pid


def test_malformed_requests_are_answered(local: Harness):
    with start.connect(paths.locate()) as sock:
        for number, message in enumerate(
            [{"do": "create"}, {"do": "list", "labels": 3, "metadata": {}}, {"do": "kill"}]
        ):
            wire.send(sock, {"id": number, **message})
            answer = wire.receive(sock)
            assert answer is not None
            assert answer[0]["error"]["code"] == "invalid_request"


def test_descriptors_of_clients_are_closed(local: Harness):
    with start.connect(paths.locate()) as sock:
        reading, writing = os.pipe()
        wire.send(sock, {"id": 1, "do": "ping"}, [writing])
        os.close(writing)
        assert wire.receive(sock) is not None
        assert select.select([reading], [], [], 5)[0]
        assert os.read(reading, 1) == b""
        os.close(reading)


def test_files_are_ours_alone(local: Harness, state: Path):
    local.ask("ping")
    for path in (state, state / "daemon.sock", state / "daemon.log", state / "snapshots"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_directory_of_somebody_else_is_refused(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ProviderUnavailableError, match="not a directory of our own"):
        paths.locate(tmp_path / "link")


def test_long_state_directory(tmp_path: Path):
    deep = tmp_path / ("d" * 100)
    found = paths.locate(deep)
    assert len(os.fsencode(found.socket)) < 108
    assert found.state == deep


def test_many_clients_start_one_daemon(tmp_path: Path):
    code = (
        "import sys\n"
        "from sandboxkit_local import paths, start, wire\n"
        "sock = start.connect(paths.locate(sys.argv[1]))\n"
        "wire.send(sock, {'id': 1, 'do': 'ping'})\n"
        "print(wire.receive(sock)[0]['result']['pid'])\n"
    )
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(5)
    ]
    said = {client.communicate(timeout=60)[0] for client in clients}
    assert len(said) == 1
    pidfd = os.pidfd_open(int(said.pop()))
    with start.connect(paths.locate(tmp_path)) as sock:
        wire.send(sock, {"id": 1, "do": "shutdown"})
        assert select.select([pidfd], [], [], 5)[0]
    os.close(pidfd)


def test_a_daemon_whose_starter_was_killed_serves_the_next_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(start.IDLE_VARIABLE, "3")
    code = (
        "import os, signal, sys\n"
        "from sandboxkit_local import bootstrap, paths, start\n"
        "popen = bootstrap.popen\n"
        "def and_killed(*arguments, **options):\n"
        "    popen(*arguments, **options)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "bootstrap.popen = and_killed\n"
        "start.connect(paths.locate(sys.argv[1]))\n"
    )
    starter = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(starter, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    where = paths.locate(tmp_path)
    with start.connect(where) as sock:
        wire.send(sock, {"id": 1, "do": "ping"})
        answer = wire.receive(sock)
        assert answer is not None
        pidfd = os.pidfd_open(answer[0]["result"]["pid"])
        wire.send(sock, {"id": 2, "do": "shutdown"})
        assert select.select([pidfd], [], [], 5)[0]
    os.close(pidfd)
    assert where.log.read_text().count("the daemon runs as process") == 1


def test_idle_daemon_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(start.IDLE_VARIABLE, "0.2")
    with start.connect(paths.locate(tmp_path)) as sock:
        wire.send(sock, {"id": 1, "do": "ping"})
        answer = wire.receive(sock)
        assert answer is not None
        pidfd = os.pidfd_open(answer[0]["result"]["pid"])
        assert not select.select([pidfd], [], [], 0.5)[0], "it ended although it had a client"
    assert select.select([pidfd], [], [], 5)[0]
    os.close(pidfd)
    assert not (tmp_path / "daemon.sock").exists()
    assert not Census.take(tmp_path).cgroups


@pytest.mark.root
def test_other_users_are_turned_away(local: Harness, state: Path):
    local.ask("ping")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.fchdir(os.open(state, os.O_PATH))  # past the directory's own protection
            os.chmod("daemon.sock", 0o777)
            os.setresuid(65534, 65534, 65534)
            other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            other.connect("/proc/self/cwd/daemon.sock")
            status = 0 if other.recv(100) == b"" else 2
        except OSError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_processes_of_the_daemon_hold_nothing_of_the_client(local: Harness, state: Path):
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    os.environ["SANDBOXKIT_TEST_SECRET"] = "s3cret"
    try:
        local.create()
    finally:
        del os.environ["SANDBOXKIT_TEST_SECRET"]
    os.close(writing)
    assert select.select([reading], [], [], 5)[0]
    assert os.read(reading, 1) == b""
    os.close(reading)
    for pid, _, _ in Census.take(state).processes:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except PermissionError:
            continue
        assert b"s3cret" not in environ


@pytest.mark.parametrize(
    "claimed", [float("nan"), float("inf"), -1, -1e9, 10**400, 1e300, 1 << 40, "5", None, [1]]
)
def test_guest_cannot_confuse_the_daemon_about_its_lifetime(claimed: object):
    service = Service(IdMap("single", (0, 0, 1), (0, 0, 1)), None, None, Mock(), Mock())
    for ends in (None, 5e9):
        sandbox = Mock(id="a", info={"expires_at": ends}, expires_at=ends, guard=None)
        service._guest_shortened(sandbox, claimed)
        assert sandbox.info == {"expires_at": ends}
        service._guest_shortened(sandbox, 10.5)
        assert 0 < sandbox.info["expires_at"] - time.time() < 11


def test_it_is_no_child_of_who_starts_it(tmp_path: Path) -> None:
    """Nobody would wait for it when it ends, and it stay, dead, for as long as that program."""
    code = (
        "import os\n"
        "from sandboxkit_local import paths, start\n"
        "start.connect(paths.locate()).close()\n"
        "try: print(os.waitpid(-1, os.WNOHANG))\n"
        "except ChildProcessError: print('no child')\n"
    )
    environment = {**os.environ, paths.STATE_VARIABLE: str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    where = paths.locate(tmp_path)
    start.connect(where, start=False).close()
    stop_daemon(where)
    assert (ran.stdout, ran.stderr) == ("no child\n", "")
