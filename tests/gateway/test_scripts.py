"""Scripts that were written for E2B alone, run as they are by ``sandboxkit serve -- PROGRAM``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandboxkit import Sandbox
from tests import engine
from tests.code import environments
from tests.gateway.test_clients import CLIENTS

SCRIPTS = Path(__file__).parent / "scripts"
PROFILES = ["local", *([] if engine.why_not() else ["docker"])]
EXPECTED: dict[str, Any] = {
    "streamed": ["hello one\nhello two\nhello three\n", "late\n", True],
    "failed": 3,
    "listed": ["sales.csv"],
    "chart": ["bar", "Sales", "Month", "EUR"],
    "bars": [["Jan", 3], ["Feb", 5]],
    "png": "PNG",
    "frame": [{"month": ["Jan", "Feb"], "sales": [3, 5]}, True],
    "told": True,
    "copied": 3,
    "snapshots": True,
    "deleted": True,
    "running": [True],
    "paused": ["paused"],
    "resumed": "42",
    "alive": True,
    "unchanged": True,
    "killed": True,
    "gone": True,
}


def project(place: Path) -> Path:
    """A directory as a user of E2B has it, with a configuration that says what its template is."""
    assert (CLIENTS / ".ready").exists(), f"there is no {CLIENTS}: run `make clients`"
    preload = json.dumps(["IPython", *environments.PRELOAD])
    (place / "sandboxkit.toml").write_text(
        '[templates.data]\naliases = ["code-interpreter-v1"]\ndocker = "sandboxkit-test:data"\n'
        f'local = {{ venv = "{environments.data()}", preload = {preload} }}\n'
    )
    for script in SCRIPTS.iterdir():
        shutil.copy(script, place)
    (place / "node_modules").symlink_to(CLIENTS / "js" / "node_modules")
    return place


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("script", ["report.py", "report.mjs"])
def test_a_script_for_e2b(script: str, profile: str, tmp_path: Path) -> None:
    program = {".py": sys.executable, ".mjs": str(CLIENTS / "bin" / "node")}[Path(script).suffix]
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--wire", "e2b", "--port", "0"]
    done = subprocess.run(
        [*serve, "--profile", profile, "--", program, script],
        cwd=project(tmp_path),
        env={name: value for name, value in os.environ.items() if not name.startswith("E2B_")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED
    # What there was is gone for us as well.
    assert not Sandbox.list(profile, metadata={"script": "report"})
    assert not [one for one in Sandbox.snapshots(profile) if one.name == "report-done"]
