"""One program, and one line of configuration that decides where it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from sandboxkit import Sandbox

with Sandbox.create(files={"data.csv": "a,b\\n1,2\\n"}, metadata={"task": "demo"}) as sbx:
    sbx.files.write("out/result.txt", "done")
    print(sbx.files.read_text("data.csv").splitlines()[1])
    print([one.path for one in sbx.files.list("out")])
    base = sbx.snapshot("portable")
    sbx.files.remove("data.csv")
    print(sbx.files.exists("data.csv"))
    print(sbx.info().metadata, sbx.id in [one.id for one in Sandbox.list()])
    with Sandbox.create(snapshot=base) as copy:
        print(copy.files.read_text("data.csv") == "a,b\\n1,2\\n", copy.files.stat("data.csv").size)
    print(base.delete())
try:
    sbx.files.read_text("out/result.txt")
except LookupError as error:
    print(type(error).__name__)
"""

PRINTED = """1,2
['/home/user/out/result.txt']
False
{'task': 'demo'} True
True 8
True
SandboxNotFoundError
"""


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_the_same_program_on(provider: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "sandboxkit.toml").write_text(
        f'default_profile = "here"\n[profiles.here]\nprovider = "{provider}"\n'
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == PRINTED
