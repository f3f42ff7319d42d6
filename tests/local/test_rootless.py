"""The same tests as ordinary users: one with subordinate ids, one with a single id."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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


def interpreter(root: Path, user: pwd.struct_passwd) -> str:
    """A Python like ours that this user can run and import our packages with."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        ran = subprocess.run(
            [candidate, "-c", "import pytest, pydantic"],
            env=environment(root, user),
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


def environment(root: Path, user: pwd.struct_passwd) -> dict[str, str]:
    return {
        "HOME": user.pw_dir,
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": ":".join(
            str(path) for path in (root, *(root / "providers").iterdir(), root / "packages")
        ),
    }


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A copy that every user can read, wherever the checkout and its environment are."""
    root = Path(tempfile.mkdtemp(prefix="sandboxkit-tree-"))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("sandboxkit", "providers", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(Path(pytest.__file__).parents[1], root / "packages", ignore=ignored)
    subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)
    yield root
    shutil.rmtree(root)


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> Iterator[pwd.struct_passwd]:
    """An ordinary user; one that had to be made is removed again."""
    name = USERS[request.param]
    known = name in {entry.pw_name for entry in pwd.getpwall()}
    found = ensure(request.param)
    yield found
    left = still_running(found.pw_uid)
    if not known:
        # Forced, because the dead that nobody has collected yet count as a user at work.
        command = ["userdel", "--force", "--remove", name]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert not left, f"processes of {name} are left: {left}"


def still_running(uid: int) -> list[str]:
    """The user's processes that do not end within some seconds, with their command lines."""
    left = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid != uid:
                continue
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            pidfd = os.pidfd_open(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        with open(pidfd):
            if not select.select([pidfd], [], [], 5.0)[0]:
                left.append(f"{entry.name}: {title}")
    return left


TOPICS = [
    "commands",
    "code",
    "facade",
    "files",
    "fork",
    "lifecycle",
    "mounts",
    "snapshots",
    "streaming",
]
CONTRACT = ["tests/conformance/test_ours.py", *(f"--only={topic}" for topic in TOPICS)]


PARTS = {
    "local": ["tests/local"],
    "attacks": ["tests/attacks/test_attacks.py"],
    "contract": CONTRACT,
}
if os.environ.get("SANDBOXKIT_ROOTLESS") == "attacks":  # `make attacks-rootless`
    PARTS = {"attacks": ["tests/attacks"], "network": ["tests/local/test_local_egress.py"]}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("what", PARTS.values(), ids=PARTS)
def test_as_an_ordinary_user(user: pwd.struct_passwd, tree: Path, what: list[str]) -> None:
    kind = next(kind for kind, name in USERS.items() if name == user.pw_name)
    scratch = f"/tmp/{user.pw_name}-{os.getpid()}"
    ran = subprocess.run(
        [
            interpreter(tree, user),
            *("-m", "pytest", *what, "-q", "-m", "not root"),
            *("-p", "no:cacheprovider", f"--basetemp={scratch}"),
        ],
        env=environment(tree, user)
        | {"SANDBOXKIT_EXPECTED_KIND": kind, "SANDBOXKIT_TEST_PROVIDERS": "local"},
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    subprocess.run(["rm", "-rf", scratch], check=True)
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert " passed" in ran.stdout


def test_ids_are_of_the_expected_kind() -> None:
    from tests.local.harness import KIND

    assert os.environ.get("SANDBOXKIT_EXPECTED_KIND", KIND) == KIND
