"""A gateway that cannot begin says why, and starts nothing."""

from __future__ import annotations

import subprocess
import sys
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
