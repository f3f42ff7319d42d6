"""How a sandbox's time runs out: its lifetime, its idle time, and what happens then."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from sandboxkit import Sandbox, SandboxNotFoundError, UnsupportedError


def eventually(holds: Callable[[], bool], seconds: float = 8.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def state(target) -> list[str]:
    return [info.state for info in Sandbox.list(target.profile, session=target.session)]


@pytest.mark.needs("pause")
def test_a_lifetime_stands_still_in_a_pause(target) -> None:
    with target.create(lifetime=3) as sandbox:
        sandbox.files.write("kept", "1")
        sandbox.pause()
        time.sleep(4)
        left = sandbox.resume().expires_at - datetime.now(UTC)
        assert 0.5 < left.total_seconds() <= 3
        assert sandbox.files.read_text("kept") == "1"
        assert eventually(lambda: not sandbox.is_running())
        with pytest.raises(SandboxNotFoundError):
            sandbox.files.read_text("kept")


@pytest.mark.needs("pause", "pause_lifetime")
def test_a_paused_sandbox_ends_if_nobody_resumes_it(target) -> None:
    with target.create() as sandbox:
        sandbox.pause(lifetime=1)
        assert eventually(lambda: state(target) == [])
        with pytest.raises(SandboxNotFoundError):
            sandbox.resume()


@pytest.mark.needs("pause_on_timeout")
def test_paused_at_the_end_of_its_lifetime(target) -> None:
    with target.create(lifetime=2, on_timeout="pause") as sandbox:
        sandbox.files.write("kept", "1")
        assert eventually(lambda: state(target) == ["paused"])
        if target.capabilities.pause_lifetime:
            left = sandbox.info().expires_at - datetime.now(UTC)
            assert 86_000 < left.total_seconds() <= 86_400
        with Sandbox.connect(sandbox.address) as found:
            assert found.files.read_text("kept") == "1"
            left = found.info().expires_at - datetime.now(UTC)
            assert 0 < left.total_seconds() <= 2  # a lifetime as long as the first
            assert eventually(lambda: state(target) == ["paused"])
            found.resume()
            assert found.files.read_text("kept") == "1"


@pytest.mark.needs("pause_on_timeout", "commands")
def test_paused_at_its_end_with_no_client_left(target) -> None:
    script = (
        "import sys, time\nfrom sandboxkit import Sandbox\n"
        "profile, session, network = sys.argv[1:]\n"
        "wanted = {'session': session, 'network': network}\n"
        "s = Sandbox.create(profile, lifetime=2, on_timeout='pause', **wanted)\n"
        "s.files.write('kept', 'data'); s.run_code('x = 41')\n"
        "print(s.address, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, target.profile, target.session, target.network],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    address = child.stdout.readline().strip()
    child.kill()
    child.communicate()
    assert eventually(lambda: state(target) == ["paused"])
    with Sandbox.connect(address) as found:
        assert found.files.read_text("kept") == "data"
        assert found.run_code("x + 1").text == "42"
        assert found.kill()


@pytest.mark.needs("idle_timeout", "commands")
def test_an_idle_sandbox_ends_and_a_busy_one_does_not(target) -> None:
    with (
        target.create(idle_timeout=2) as idle,
        target.create(idle_timeout=2) as busy,
        target.create(idle_timeout=2) as watched,
    ):
        process = watched.start("sleep 4; echo done")  # who follows it counts
        assert busy.run("sleep 4; echo done").stdout == "done\n"
        assert not idle.is_running()
        with pytest.raises(SandboxNotFoundError) as caught:
            idle.run("true")
        assert caught.value.cause == "expired"
        assert process.wait().stdout == "done\n"
        assert busy.is_running()
        assert busy.run("echo again").stdout == "again\n"
        assert eventually(lambda: not busy.is_running())
        assert eventually(lambda: not watched.is_running())


@pytest.mark.needs("idle_timeout", "commands")
def test_what_runs_detached_does_not_count(target) -> None:
    with target.create(idle_timeout=2) as sandbox:
        sandbox.start("sleep 300").close()
        sandbox.run("sleep 300 > /dev/null 2>&1 &")
        assert eventually(lambda: not sandbox.is_running())


@pytest.mark.needs("idle_timeout", "pause_on_timeout", "commands")
def test_paused_when_idle(target) -> None:
    with target.create(idle_timeout=1, on_timeout="pause", lifetime="10m") as sandbox:
        sandbox.run_code("x = 1")
        for _ in range(2):
            assert eventually(lambda: state(target) == ["paused"])
            left = sandbox.resume().expires_at - datetime.now(UTC)
            assert 500 < left.total_seconds() <= 600  # what was left of its lifetime
            assert sandbox.run_code("x").text == "1"
        assert sandbox.run("sleep 2.5; echo busy").stdout == "busy\n"


def test_an_idle_timeout_is_served_or_refused(target) -> None:
    if not target.capabilities.idle_timeout:
        with pytest.raises(UnsupportedError) as caught:
            target.create(idle_timeout=60)
        assert caught.value.capability == "idle_timeout"
    with target.create(idle_timeout=60, best_effort=True) as sandbox:
        assert sandbox.is_running()


def test_bad_times_make_nothing(target) -> None:
    for name in ("lifetime", "idle_timeout"):
        for bad in (0, -1, "soon", float("nan")):
            with pytest.raises(ValueError, match=name):
                target.create(**{name: bad})
    with pytest.raises(ValueError, match="on_timeout"):
        target.create(on_timeout="sleep")
    assert state(target) == []
