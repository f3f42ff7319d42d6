"""One program, and one line of configuration that decides where it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import engine
from tests.gateway.conftest import serving
from tests.vendors import serving as vendors

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


# Where no engine is, the run says so at its end.
PROVIDERS = [
    "memory",
    "local",
    "e2b",
    "daytona",
    "blaxel",
    *([] if engine.why_not() else ["docker"]),
]


@contextmanager
def settings_of(provider: str) -> Iterator[str]:
    """What the profile says besides; a vendor's plugin is led to our own server."""
    if provider == "daytona":
        with vendors.serving("daytona") as led:
            yield f'''guest_user = ""
without = ["images", "port_urls"]
api_key = "{led["DAYTONA_API_KEY"]}"
api_url = "{led["DAYTONA_API_URL"]}"
'''
        return
    if provider == "blaxel":
        with vendors.serving("blaxel") as led:
            yield f'''root = false
network = "full"
workspace = "main"
api_key = "{led["BL_API_KEY"]}"
api_url = "{led["BL_API_URL"]}"
'''
        return
    if provider != "e2b":
        yield ""
        return
    with serving("--profile", "local", "--fidelity", "vendor") as served:
        more = {**served.params, "guest_user": ""}
        yield "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_same_program_on(provider: str, private_daemon: None, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    with settings_of(provider) as settings:
        (tmp_path / "sandboxkit.toml").write_text(
            f'default_profile = "here"\n[profiles.here]\nprovider = "{provider}"\n{settings}'
        )
        done = ran(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == PRINTED


def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
