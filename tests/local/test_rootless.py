"""The same tests as ordinary users: one with subordinate ids, one with a single id."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USERS = {"subordinate": "sandboxkit-test", "single": "sandboxkit-solo"}


def ensure(kind: str) -> pwd.struct_passwd:
    """The user, made if missing, with or without a range of ids."""
    name = USERS[kind]
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--create-home", name], check=True)
        found = pwd.getpwnam(name)
    if kind == "subordinate" and name not in Path("/etc/subuid").read_text():
        ranges = ["--add-subuids", "300000-365535", "--add-subgids", "300000-365535"]
        subprocess.run(["usermod", *ranges, name], check=True)
    return found


def interpreter(user: pwd.struct_passwd) -> str:
    """A Python like ours that this user can run and import our packages with."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        ran = subprocess.run(
            [candidate, "-c", "import pytest, pydantic"],
            env=environment(user),
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        ) if readable(candidate, user) else None  # fmt: skip
        if ran is not None and ran.returncode == 0:
            return candidate
    raise AssertionError("there is no interpreter of our version that an ordinary user can run")


def readable(path: str, user: pwd.struct_passwd) -> bool:
    test = ["test", "-x", path]
    return (
        subprocess.run(test, user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
    ).returncode == 0


def environment(user: pwd.struct_passwd) -> dict[str, str]:
    packages = Path(pytest.__file__).parents[1]
    return {
        "HOME": user.pw_dir,
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'providers/local'}:{packages}",
    }


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", USERS)
def test_as_an_ordinary_user(kind: str, tmp_path_factory: pytest.TempPathFactory):
    user = ensure(kind)
    ran = subprocess.run(
        [
            interpreter(user),
            *("-m", "pytest", "tests/local", "-q", "-m", "not root", "-p", "no:cacheprovider"),
            f"--basetemp=/tmp/{user.pw_name}-{os.getpid()}",
        ],
        env=environment(user) | {"SANDBOXKIT_EXPECTED_KIND": kind},
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    subprocess.run(["rm", "-rf", f"/tmp/{user.pw_name}-{os.getpid()}"], check=True)
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert " passed" in ran.stdout


def test_ids_are_of_the_expected_kind():
    from tests.local.harness import KIND

    assert os.environ.get("SANDBOXKIT_EXPECTED_KIND", KIND) == KIND
