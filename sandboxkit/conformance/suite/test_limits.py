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
    with target.create(resources={"cpu": 0.1}) as sandbox:
        began = time.monotonic()
        # Several, since one alone may get as little of a busy machine without any limit.
        busy = "timeout 2 sh -c 'while :; do :; done' &"
        script = f"{busy * 6} wait; times"
        used = sandbox.run(script, timeout=60).stdout.split()[2:4]
        elapsed = time.monotonic() - began
        assert sum(map(_seconds, used)) < 0.3 * elapsed


def _seconds(text: str) -> float:
    minutes, _, seconds = text.rstrip("s").partition("m")
    return 60 * int(minutes) + float(seconds)
