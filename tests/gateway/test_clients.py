"""Other SDKs of E2B's: JavaScript's, and the older pair of Python's; each a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.gateway.conftest import Served

HERE = Path(__file__).parent / "clients"
ROOT = Path(__file__).parents[2]
CLIENTS = Path(os.environ.get("SANDBOXKIT_CLIENTS_VENV", ROOT / ".venv-clients"))


def found(
    gateway: Served, program: str, script: Path, where: Path, *words: str, **variables: str
) -> dict[str, Any]:
    """What a script of theirs prints, run in the environment that `make clients` makes."""
    assert (CLIENTS / ".ready").exists(), f"there is no {CLIENTS}: run `make clients`"
    for module in HERE.glob(f"*{script.suffix}"):
        shutil.copy(module, where)
    done = subprocess.run(
        [str(CLIENTS / "bin" / program), script.name, *words],
        env={**os.environ, **gateway.variables, **variables},
        cwd=where,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_javascript_sdk(gateway: Served) -> None:
    assert found(gateway, "node", HERE / "everything.mjs", CLIENTS / "js") == {
        "output": "1\n/home/user\n",
        "failed": 3,
        "late": "TimeoutError",
        "text": "hello",
        "listed": ["/home/user/a/b.txt"],
        "bytes": [0, 255],
        "signed": "hello",
        "missing": "FileNotFoundError",
        "code": ["42", "p\n"],
        "context": "/tmp",
        "input": "typed\n",
        "events": ["create c", "write c"],
        "terminal": [4, True],
        "pages": [1, False],
        "paused": True,
        "asleep": False,
        "kept": "kept",
        "killed": [True, False],
    }


OLDER = {
    "output": "hi\n",
    "files": ["x", ["a"]],
    "again": "again\n",
    "killed": True,
    "event": ["b", "create"],
    "listed": 1,
    "running": True,
}


def test_the_older_python_sdks(gateway: Served) -> None:
    assert found(gateway, "python", HERE / "older.py", CLIENTS) == {**OLDER, "code": "2"}


def test_the_oldest_python_sdks(gateway: Served) -> None:
    """Their code interpreter takes no address of a sandbox but by name and TLS."""
    oldest = {"PYTHONPATH": str(CLIENTS / "oldest")}
    assert found(gateway, "python", HERE / "older.py", CLIENTS, "no-code", **oldest) == OLDER


def test_a_program_is_started_with_the_variables(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from e2b import Sandbox\n"
        "with Sandbox.create() as one: print(one.commands.run('echo inside').stdout)\n"
        "raise SystemExit(7)\n"
    )
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--profile", "local", "--port", "0"]
    done = subprocess.run(
        [*serve, "--", sys.executable, str(script)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("inside\n\n", 7), done.stderr
    missing = subprocess.run([*serve, "--", "/no/such"], capture_output=True, text=True, timeout=60)
    assert (missing.returncode, "/no/such" in missing.stderr) == (1, True)
