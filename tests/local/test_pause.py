"""Pausing here: by a control group of version 2, and nothing that is paused is left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandboxkit.errors import SandboxNotFoundError, SandboxPausedError
from sandboxkit.provider import LifetimeRequest, PauseRequest, ResumeRequest
from sandboxkit_local.jail import freezer
from tests.leaks import Census
from tests.local.harness import Harness, eventually
from tests.local.test_crash import all_end_within, titled

pytestmark = pytest.mark.skipif(freezer.detect() is None, reason="needs writable control groups")

ROOT = Path(__file__).parents[2]


def pause(local: Harness, sandbox_id: str, lifetime: float | None = 60.0):
    return local.do(local.provider.pause(PauseRequest(sandbox_id=sandbox_id, lifetime=lifetime)))


def resume(local: Harness, sandbox_id: str):
    return local.do(local.provider.resume(ResumeRequest(sandbox_id=sandbox_id)))


def group(sandbox_id: str) -> Path:
    """Where a sandbox is frozen."""
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        if sandbox_id in names and Path(directory, sandbox_id, "cgroup.freeze").exists():
            return Path(directory, sandbox_id)
    return Path("/nowhere")


def members(sandbox_id: str) -> list[int]:
    """Every process of a sandbox, as the host sees them."""
    listing = group(sandbox_id) / "cgroup.procs"
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


def cpu(sandbox_id: str) -> int:
    """Microseconds that it has used, all of it."""
    return int((group(sandbox_id) / "cpu.stat").read_text().split()[1])


def ticks(pids: list[int]) -> int:
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields)


def test_every_process_is_born_in_its_sandbox_s_group(local: Harness):
    sandbox = local.create().id
    local.sh(sandbox, "setsid sleep 1000 > /dev/null 2>&1 & echo")
    inside = local.sh(sandbox, "ls -d /proc/[0-9]* | wc -l").strip()
    pids = members(sandbox)
    # The shell and its two helpers have ended meanwhile.
    assert len(pids) == 2 <= int(inside)
    assert "0::/\n" in local.sh(sandbox, "cat /proc/self/cgroup")


def test_a_paused_sandbox_uses_no_cpu(local: Harness):
    sandbox = local.create().id
    local.sh(sandbox, "(while :; do :; done) > /dev/null 2>&1 & (while :; do /bin/true; done) "
             "> /dev/null 2>&1 & echo")  # fmt: skip
    eventually(lambda: cpu(sandbox) > 300_000)
    pause(local, sandbox)
    pids = members(sandbox)
    assert len(pids) >= 3
    before = cpu(sandbox), ticks(pids)
    time.sleep(1)
    assert (cpu(sandbox), ticks(pids)) == before
    assert members(sandbox) == pids
    resume(local, sandbox)
    eventually(lambda: cpu(sandbox) > before[0] + 300_000)


def test_a_killed_daemon_leaves_nothing_paused(local: Harness, state: Path):
    local.create()
    sandbox = local.create().id
    local.sh(sandbox, "setsid sleep 1000 > /dev/null 2>&1 & echo")
    pause(local, sandbox)
    pidfds = titled(state) + [os.pidfd_open(pid) for pid in members(sandbox)]
    os.kill(local.daemon_pid(), signal.SIGKILL)
    all_end_within(pidfds, 2.0)
    assert members(sandbox) == []
    # And the next daemon begins clean.
    assert local.list() == []
    with pytest.raises(SandboxNotFoundError):
        local.connect(sandbox)
    groups = {name.rpartition("/")[2] for name in Census.take(state).cgroups}
    assert sandbox not in groups


def test_a_daemon_that_ends_ends_what_is_paused(local: Harness, state: Path):
    sandbox = local.create().id
    pause(local, sandbox)
    pidfds = titled(state)
    local.ask("shutdown")
    all_end_within(pidfds, 5.0)
    assert members(sandbox) == []


def test_paused_time_runs_out_in_the_daemon(local: Harness, state: Path):
    code = (
        "import asyncio, os, signal\n"
        "from sandboxkit_local.provider import LocalProvider\n"
        "from sandboxkit.provider import CreateRequest, PauseRequest, ProviderSettings\n"
        "async def main():\n"
        "    local = LocalProvider(ProviderSettings())\n"
        "    info = await local.create(CreateRequest(nonce='n', lifetime=60.0))\n"
        "    await local.pause(PauseRequest(sandbox_id=info.id, lifetime=1.5))\n"
        "    print(info.id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    sandbox = ran.stdout.decode().strip()
    assert [info.state for info in local.list() if info.id == sandbox] == ["paused"]
    with pytest.raises(SandboxPausedError):
        local.sh(sandbox, "true")
    eventually(lambda: sandbox not in {info.id for info in local.list()})
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(sandbox)
    assert caught.value.cause == "expired"
    eventually(lambda: not members(sandbox))  # nobody waits for it as for a kill


def test_a_lifetime_set_while_paused_counts_from_the_resumption(local: Harness):
    sandbox = local.create(lifetime=2.0).id
    ends = pause(local, sandbox).expires_at
    changed = local.do(
        local.provider.set_lifetime(LifetimeRequest(sandbox_id=sandbox, lifetime=100.0))
    )
    assert changed.expires_at == ends
    time.sleep(2.5)
    left = resume(local, sandbox).expires_at.timestamp() - time.time()
    assert 95 < left <= 100
    time.sleep(2.5)
    assert local.sh(sandbox, "echo here") == "here\n"


def test_a_guest_that_does_not_answer_is_paused_all_the_same(local: Harness):
    sandbox = local.create().id
    local.sh(sandbox, "true")
    agent = min(members(sandbox))  # beside an interpreter, if it was prepared
    os.kill(agent, signal.SIGSTOP)
    start = time.monotonic()
    assert pause(local, sandbox).state == "paused"
    assert time.monotonic() - start < 5
    os.kill(agent, signal.SIGCONT)
    assert resume(local, sandbox).state == "running"
    assert local.sh(sandbox, "echo here") == "here\n"


def test_a_snapshot_is_waited_for_not_frozen(local: Harness):
    sandbox = local.create().id
    local.sh(sandbox, "head -c 60000000 /dev/urandom > big")
    from sandboxkit.provider import SnapshotIdRequest, SnapshotRequest

    async def both():
        import asyncio

        taking = asyncio.create_task(
            local.provider.snapshot(SnapshotRequest(sandbox_id=sandbox, name=None))
        )
        await asyncio.sleep(0.02)
        paused = await local.provider.pause(PauseRequest(sandbox_id=sandbox))
        return await taking, paused

    taken, paused = local.do(both())
    assert paused.state == "paused"
    assert taken.size > 60_000_000
    local.do(local.provider.delete_snapshot(SnapshotIdRequest(snapshot_id=taken.id)))


def test_pause_does_not_wait_for_a_client_that_does_not_read(local: Harness):
    sandbox = local.create().id
    _, fds = local.do(local.provider._daemon.ask("connect", sandbox=sandbox))
    try:
        start = time.monotonic()
        pause(local, sandbox)
        assert time.monotonic() - start < 5
        resume(local, sandbox)
        assert select.select([fds[0]], [], [], 0)[0] == []  # nothing is told to who has not greeted
    finally:
        os.close(fds[0])
