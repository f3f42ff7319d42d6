"""Clients, daemons and zygotes that are killed without warning."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.errors import SandboxError, SandboxNotFoundError
from sandboxkit_local import paths, start, wire
from tests.leaks import Census
from tests.local.harness import Harness, eventually

ROOT = Path(__file__).parents[2]

DOOMED_CLIENT = """
import json, os, signal, sys
from sandboxkit_local import paths, start, wire
sock = start.connect(paths.locate())
wire.send(sock, json.loads(sys.stdin.read()))
if sys.argv[1] == "answered":
    wire.receive(sock)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_stands_ready() -> Iterator[None]:
    """What is there is counted, and a sandbox that is nobody's comes and goes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(start.PREPARED_VARIABLE, "0")
        yield


@pytest.mark.parametrize("when", ["asked", "answered"])
def test_client_killed_in_the_middle_of_create(local: Harness, when: str):
    import json

    local.create()
    order = local.order()
    ran = subprocess.run(
        [sys.executable, "-c", DOOMED_CLIENT, when],
        input=json.dumps(order).encode(),
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    eventually(lambda: local.ask("ping")["sandboxes"] == 1)


def test_sandbox_survives_its_client_once_accepted(local: Harness):
    code = (
        "import asyncio, os, signal\n"
        "from sandboxkit_local.provider import LocalProvider\n"
        "from sandboxkit.provider import CreateRequest, ProviderSettings\n"
        "async def main():\n"
        "    info = await LocalProvider(ProviderSettings()).create("
        "CreateRequest(nonce='n', lifetime=60.0))\n"
        "    print(info.id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    sandbox_id = ran.stdout.decode().strip()
    assert local.sh(sandbox_id, "echo here").strip() == "here"
    assert local.kill(sandbox_id)


def titled(state: Path) -> list[int]:
    return [os.pidfd_open(pid) for pid, _, _ in Census.take(state).processes]


def all_end_within(pidfds: list[int], seconds: float) -> None:
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], seconds)[0]
        os.close(pidfd)


def test_daemon_killed_takes_every_sandbox_with_it(local: Harness, state: Path):
    sandboxes = [local.create().id for _ in range(3)]
    for sandbox in sandboxes:
        local.sh(sandbox, "setsid sleep 1000 > /dev/null 2>&1 & echo")
    pidfds = titled(state)
    assert len(pidfds) == 1 + 3 + 3  # daemon; launcher, init, zygote; the sandboxes
    os.kill(local.daemon_pid(), signal.SIGKILL)
    all_end_within(pidfds, 1.0)

    # Sandboxes of the dead daemon are gone, and the next one begins clean.
    with pytest.raises(SandboxError):
        local.sh(sandboxes[0], "true")
    assert local.list() == []
    with pytest.raises(SandboxNotFoundError):
        local.connect(sandboxes[0])
    assert local.sh(local.create().id, "echo again").strip() == "again"
    assert len(Census.take(state).cgroups) <= 3 + 3  # one a limit; all, zygotes, the sandbox


def test_next_daemon_cleans_the_state_directory(local: Harness, state: Path):
    local.ask("ping")
    os.kill(local.daemon_pid(), signal.SIGKILL)
    (state / "snapshots" / "0123.partial").write_bytes(b"half")
    (state / "snapshots" / "4567.tar").write_bytes(b"no record")
    (state / "snapshots" / "89ab.draft").write_bytes(b"{")
    eventually(lambda: not Census.take(state).processes)
    local.ask("ping")
    assert list((state / "snapshots").iterdir()) == []


def test_zygote_killed_is_replaced(local: Harness, state: Path):
    first = local.create().id
    daemon = local.daemon_pid()
    for pid, _, _ in Census.take(state).processes:
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        if int(parent) == daemon:
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: local.ask("ping")["sandboxes"] == 0)
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(first)
    assert caught.value.cause == "transport"
    assert local.sh(local.create().id, "echo again").strip() == "again"


def test_agent_killed_is_a_transport_loss(local: Harness, state: Path):
    info = local.create()
    before = Census.take(state).processes
    other = local.create()
    (pid,) = (pid for pid, _, _ in Census.take(state).processes - before)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: other.id not in {i.id for i in local.list()})
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(other.id)
    assert caught.value.cause == "transport"
    assert local.sh(info.id, "echo here").strip() == "here"


def test_killed_sandboxes_leave_nothing(local: Harness, state: Path):
    local.kill(local.create().id)
    before = Census.take(state)
    for _ in range(20):
        local.kill(local.create(lifetime=60.0, pids=50).id)
    left = Census.take(state).since(before)
    left.pop("files", None)
    assert not left


def test_half_open_connection_is_not_a_client(local: Harness):
    sock = start.connect(paths.locate())
    wire.send(sock, local.order(nonce=uuid4().hex))
    sock.close()
    eventually(lambda: local.ask("ping")["sandboxes"] == 0)
