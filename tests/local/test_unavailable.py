"""Systems that do not let us: an error that says what mends it, never an unisolated process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxkit import plugins
from sandboxkit.errors import ProviderUnavailableError
from sandboxkit_local.doctor import checks
from tests.local.harness import KIND, Harness

ROOT = Path(__file__).parents[2]

# A process that has a user namespace in which there can be no further one.
FORBIDDEN = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
user, group = os.getuid(), os.getgid()
assert libc.unshare(0x10000000) == 0
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"1000 {user} 1")
open("/proc/self/gid_map", "w").write(f"1000 {group} 1")
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""

CREATE = """
import asyncio, contextlib
from sandboxkit_local.provider import LocalProvider
from sandboxkit import plugins
from sandboxkit.errors import ProviderUnavailableError
from sandboxkit.provider import CreateRequest, ProviderSettings

async def main():
    provider = LocalProvider(ProviderSettings())
    try:
        await provider.create(CreateRequest(nonce="n"))
    except ProviderUnavailableError as error:
        print(type(error).__name__, error)
    with contextlib.suppress(ProviderUnavailableError):
        await provider._daemon.ask("shutdown")
    await provider.aclose()

asyncio.run(main())
"""

CHECKS = """
from sandboxkit_local.doctor import checks
for check in checks():
    print(check.name, check.ok, check.detail, check.fix, sep="|")
"""


def forbidden(code: str, state: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, code],
        cwd=ROOT,
        env=os.environ | {"SANDBOXKIT_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran
    return ran.stdout


def test_no_user_namespaces(tmp_path: Path):
    said = forbidden(CREATE, tmp_path)
    assert said.startswith("ProviderUnavailableError")
    if KIND == "root":  # which that process, having one id, still is
        assert "the host's root" in said
        return
    assert "unshare" in said
    assert "sysctl -w user.max_user_namespaces" in said
    assert "docker provider" in said


def test_doctor_names_what_is_missing(tmp_path: Path):
    lines = [line.split("|") for line in forbidden(CHECKS, tmp_path).splitlines()]
    (namespaces,) = (line for line in lines if line[0] == "user namespaces")
    assert namespaces[1] == "False"
    assert "sysctl -w user.max_user_namespaces" in namespaces[3]
    assert "docker" in namespaces[3]


def test_doctor_is_content_here(state: Path):
    found = checks()
    assert all(check.ok for check in found), found
    assert {"Linux", "user namespaces", "overlay", "proc", "seccomp", "ids", "limits"} <= {
        check.name for check in found
    }
    # Whether names can be looked up is this machine's matter.
    narrowed = {check.name for check in found if check.fix} - {"network rules"}
    expected = {
        "root": set(),
        "subordinate": {"limits", "pause"},
        "single": {"ids", "limits", "pause"},
    }
    assert narrowed == expected[KIND]


def test_doctor_tries_the_network_out(state: Path):
    info = plugins.provider_info("local")
    assert info.trial is not None
    found = info.trial()
    assert [check.detail.partition(":")[0] for check in found] == ["boundary", "boundary"]


def test_interpreter_that_cannot_run(local: Harness, tmp_path: Path):
    fake = tmp_path / "venv" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(ProviderUnavailableError, match="out of order"):
        local.create(options={"template": {"venv": str(tmp_path / "venv")}})
