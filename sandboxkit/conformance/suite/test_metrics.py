"""What a sandbox uses, told while it uses it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from sandboxkit import Process, Sandbox, SandboxNotFoundError
from sandboxkit.conformance.target import Target

MIB = 1 << 20

BUSY = """
import time
while time.process_time() < {seconds}:
    pass
"""
HOLD = "held = bytearray({size}); print('held', flush=True); input()"


def held(sandbox: Sandbox, size: int) -> Process:
    """A process that holds so many bytes, until it is closed."""
    process = sandbox.start(["python3", "-c", HOLD.format(size=size)], stdin=True)
    assert next(iter(process)).data == b"held\n"
    return process


@pytest.mark.needs("metrics")
def test_cpu_time_is_what_was_used(sandbox: Sandbox) -> None:
    before = sandbox.metrics()
    assert abs(before.at - datetime.now(UTC)) < timedelta(minutes=1)
    busy = ["python3", "-c", BUSY.format(seconds=1)]
    began = time.monotonic()
    sandbox.run(busy, check=True)
    sandbox.run(["sh", "-c", '("$@" &) ; wait; "$@"', "sh", *busy], check=True)
    took = time.monotonic() - began
    after = sandbox.metrics()
    assert before.cpu_seconds is not None
    assert after.cpu_seconds is not None
    used = after.cpu_seconds - before.cpu_seconds
    # Two that have ended; the third, whom nobody waits for, may be anywhere in its second.
    assert 1.9 <= used <= 4.5
    assert used <= took * 8 + 1
    assert sandbox.metrics().cpu_seconds >= after.cpu_seconds


@pytest.mark.needs("metrics")
def test_memory_that_a_process_holds(sandbox: Sandbox) -> None:
    def used() -> int:
        found = sandbox.metrics().memory_used
        assert found is not None
        return found

    small = held(sandbox, 1)
    before = used()
    large = held(sandbox, 64 * MIB)
    during = used()
    assert 64 * MIB <= during - before <= 128 * MIB
    large.kill()
    small.kill()
    assert used() < during - 60 * MIB


@pytest.mark.needs("metrics")
def test_files_that_were_written(sandbox: Sandbox) -> None:
    before = sandbox.metrics().disk_used
    sandbox.run("head -c 8388608 /dev/urandom > file; sync file", check=True)
    after = sandbox.metrics().disk_used
    assert before is not None
    assert after is not None
    assert 8 * MIB <= after - before <= 12 * MIB
    sandbox.files.remove("file")
    freed = sandbox.metrics().disk_used
    assert freed is not None
    assert freed <= after - 8 * MIB


@pytest.mark.needs("metrics")
def test_processes_are_counted(sandbox: Sandbox) -> None:
    def count() -> int:
        found = sandbox.metrics().processes
        assert found is not None
        return found

    before = count()
    process = held(sandbox, 1)
    assert count() == before + 1
    process.kill()
    assert count() == before
    pair = sandbox.start("sleep 100 & sleep 100")
    deadline = time.monotonic() + 10
    while count() != before + 3 and time.monotonic() < deadline:
        pass
    assert count() == before + 3  # the shell, and both
    pair.kill()
    assert count() == before


@pytest.mark.needs("metrics", "limit_memory", "limit_cpu")
def test_limits_are_told(target: Target) -> None:
    with target.create(resources={"memory": "256MiB", "cpu": 0.5}) as sandbox:
        found = sandbox.metrics()
        assert found.memory_limit == 256 * MIB
        assert found.cpu_limit == 0.5
        assert found.memory_used is not None
        assert 0 < found.memory_used < 256 * MIB
        before = found.cpu_seconds
        sandbox.run(["python3", "-c", BUSY.format(seconds=0.5)], check=True)
        after = sandbox.metrics().cpu_seconds
        assert before is not None
        assert after is not None
        assert 0.45 <= after - before <= 1.5


@pytest.mark.needs("metrics", "limit_disk")
def test_the_limit_of_the_disk_is_told(target: Target) -> None:
    with target.create(resources={"disk": "64MiB"}) as sandbox:
        assert sandbox.metrics().disk_limit == 64 * MIB
        sandbox.run("head -c 100M /dev/zero > file")
        full = sandbox.metrics()
        assert full.disk_used is not None
        assert 60 * MIB <= full.disk_used <= 64 * MIB


@pytest.mark.needs("metrics")
def test_a_sandbox_that_is_gone_uses_nothing(target: Target) -> None:
    with target.create() as sandbox, Sandbox.connect(sandbox.address) as other:
        sandbox.kill()
        with pytest.raises(SandboxNotFoundError) as caught:
            other.metrics()
        assert caught.value.op == "metrics"
