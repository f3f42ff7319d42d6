"""A gateway that cannot begin says why, and starts nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandboxkit.gateway import WIRES


def serve(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandboxkit.cli", "serve", "--port", "0", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("wire", WIRES)
def test_a_profile_that_does_not_exist(wire: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    done = serve("--wire", wire, "--profile", "nope", "--", "touch", str(made))
    assert done.returncode != 0
    assert "there is no profile 'nope'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not made.exists()


def test_a_provider_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    done = serve("--profile", "docker")
    assert done.returncode != 0
    assert "/nonexistent/docker.sock" in done.stderr
    assert "Traceback" not in done.stderr
    assert "export " not in done.stdout


def test_a_program_that_does_not_end_when_asked_is_ended(
    private_daemon: None, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    stubborn = f"trap '' TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; while :; do sleep 1; done"
    command = [sys.executable, "-m", "sandboxkit.cli", "serve", "--port", "0", "--profile", "local"]
    with subprocess.Popen(
        [*command, "--", "sh", "-c", stubborn], stderr=subprocess.PIPE, text=True
    ) as served:
        deadline = time.monotonic() + 30
        while not pid.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        program = int(pid.read_text())
        served.terminate()
        _, told = served.communicate(timeout=30)
    assert served.returncode == 128 + 15
    assert "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)
