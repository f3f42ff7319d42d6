"""Bounds that are asked for hold, or are refused."""

from __future__ import annotations

import os
import time

import pytest

from sandboxkit.errors import UnsupportedError
from tests.local.harness import KIND, Harness


def test_disk_is_bounded(local: Harness):
    info = local.create(disk=20 << 20)
    assert "No space left" in local.run(info.id, "head -c 30000000 /dev/zero > f").stderr
    assert "No space left" in local.run(info.id, "head -c 30000000 /dev/zero > /dev/shm/f").stderr


def test_pids_are_bounded(local: Harness):
    info = local.create(pids=20)
    script = (
        "import os, time\n"
        "n = 0\n"
        "try:\n"
        "    while n < 100:\n"
        "        if os.fork() == 0: time.sleep(5); os._exit(0)\n"
        "        n += 1\n"
        "except BlockingIOError: pass\n"
        "print(n)"
    )
    assert 5 < int(local.sh(info.id, ("python", "-c", script))) < 20


def test_open_files_and_cores_are_bounded(local: Harness):
    assert local.sh(local.create().id, "ulimit -c; ulimit -Hn").split()[0] == "0"
    assert int(local.sh(local.create().id, "ulimit -Hn")) <= 65_536


def test_what_cannot_be_enforced_is_refused_or_named(local: Harness):
    flags = local.provider.capabilities.flags()
    assert flags["limit_memory"] is flags["limit_cpu"] is (KIND == "root")
    if flags["limit_memory"]:
        return
    for limit in ({"memory": 1 << 28}, {"cpu": 0.5}):
        with pytest.raises(UnsupportedError):
            local.create(**limit)
    info = local.create(memory=1 << 28, cpu=0.5, pids=100, best_effort=True)
    assert set(info.unenforced) == {"cpu", "memory"}


@pytest.mark.root
def test_memory_is_bounded_for_the_whole_sandbox(local: Harness):
    info = local.create(memory=100 << 20)
    hog = ("python", "-c", "b = bytearray(200 << 20); print(len(b))")
    assert local.run(info.id, hog).code == -9
    assert local.sh(info.id, "echo alive").strip() == "alive"
    # Files are memory too.
    assert "No space left" in local.run(info.id, "head -c 60000000 /dev/zero > f").stderr


@pytest.mark.root
def test_cpu_is_bounded(local: Harness):
    info = local.create(cpu=0.2)
    spin = (
        "import time\n"
        "end = time.time() + 1\n"
        "while time.time() < end: pass\n"
        "print(time.process_time())"
    )
    assert float(local.sh(info.id, ("python", "-c", spin))) < 0.4


@pytest.mark.root
def test_groups_are_removed(local: Harness):
    info = local.create(cpu=1.0, memory=1 << 28, pids=100)
    found = [root for root, _, _ in os.walk("/sys/fs/cgroup") if root.endswith(info.id)]
    assert found
    local.kill(info.id)
    deadline = time.monotonic() + 2
    while any(os.path.exists(path) for path in found):
        assert time.monotonic() < deadline
        time.sleep(0.01)
