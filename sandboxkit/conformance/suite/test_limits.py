"""Limits that are declared are enforced, on all of a sandbox and by nobody's good will."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.needs("commands")


@pytest.mark.needs("limit_memory")
def test_memory_is_limited(target) -> None:
    with target.create(resources={"memory": "128MiB"}) as sandbox:
        # tail keeps one line of any length in memory.
        result = sandbox.run("head -c 400000000 /dev/zero | tail -n 1 | wc -c", timeout=60)
        assert result.stdout.strip() != "400000000"
        assert sandbox.run("echo alive").stdout == "alive\n"


@pytest.mark.needs("limit_pids")
def test_processes_are_limited(target) -> None:
    with target.create(resources={"pids": 30}) as sandbox:
        script = (
            "for i in $(seq 100); do sleep 300 & done 2>/dev/null; jobs -r | wc -l; kill $(jobs -p)"
        )
        result = sandbox.run(script, timeout=60)
        counted = result.stdout.split()
        assert not counted or int(counted[-1]) < 30
        assert sandbox.run("echo alive", timeout=30).stdout == "alive\n"


@pytest.mark.needs("limit_disk")
def test_disk_is_limited(target) -> None:
    with target.create(resources={"disk": "32MiB"}) as sandbox:
        result = sandbox.run("head -c 64000000 /dev/zero > full")
        assert not result.ok
        assert "space" in result.stderr or "quota" in result.stderr
        assert sandbox.files.stat("full").size <= 32 << 20
        with pytest.raises(OSError):
            sandbox.files.write("more", b"x" * 40_000_000)
        sandbox.files.remove("full")
        sandbox.files.write("again", b"there is room")


@pytest.mark.needs("limit_cpu")
def test_cpu_is_limited(target) -> None:
    busy = "timeout 2 sh -c 'while :; do :; done' &"
    script = f"{busy * 6} wait; times"
    with target.create(resources={"cpu": 0.05}) as bound, target.create() as free:
        began = time.monotonic()
        # Side by side, since on a busy machine a sandbox may get as little without any limit.
        beside = free.start(script)
        used = _seconds(bound.run(script, timeout=60).stdout)
        elapsed = time.monotonic() - began
        assert used < 0.3 * elapsed
        assert used < 0.7 * _seconds(beside.wait(timeout=60).stdout)


def _seconds(times: str) -> float:
    """What a shell's children have used, as its ``times`` says it."""
    parts = [text.rstrip("s").partition("m") for text in times.split()[2:4]]
    return sum(60 * int(minutes) + float(seconds) for minutes, _, seconds in parts)
