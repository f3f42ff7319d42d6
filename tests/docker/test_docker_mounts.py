"""What a directory of this machine gives a container and what not, beside the contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxkit import InvalidRequestError, Sandbox, UnsupportedError
from sandboxkit_docker import mounts
from sandboxkit_docker.engine import Engine
from tests import engine
from tests.local.test_mounts import CHANGES

pytestmark = pytest.mark.root

OWNER = 61_234


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "file").write_text("content")
    for path in (directory, directory / "file"):
        os.chown(path, OWNER, OWNER)
        path.chmod(0o700)
    return directory


def test_what_root_inside_cannot(session: str, source: Path) -> None:
    (source / "roots").write_text("secret")
    (source / "roots").chmod(0o600)
    shutil.copy(shutil.which("id") or "", source / "id")
    (source / "id").chmod(0o6755)
    os.mknod(source / "null", 0o666 | 0o020000, os.makedev(1, 3))
    before = Path("/proc/self/mountinfo").read_text()
    with Sandbox.create("docker", session=session, mounts=[f"{source}:/mnt/x:rw"]) as sandbox:
        assert before.count("source") == Path("/proc/self/mountinfo").read_text().count("source")
        for user in ("root", "user"):
            assert not sandbox.run("cat /mnt/x/roots", user=user).ok
            assert not sandbox.run("echo > /mnt/x/null", user=user).ok
            changed = json.loads(sandbox.run(["python3", "-c", CHANGES], user=user).stdout)
            assert set(changed.values()) == {-1}, changed
        assert not sandbox.run("cat /mnt/x/file", user="root").ok
        assert sandbox.run("cat /mnt/x/file").stdout == "content"
        assert sandbox.run("/mnt/x/id -u").stdout == "1000\n"
        flags = sandbox.run("grep ' /mnt/x ' /proc/self/mountinfo").stdout.split()[5].split(",")
        assert {"nosuid", "nodev"} <= {*flags}
        (kinds,) = {
            item["Labels"]["sandboxkit.kind"] for item in engine.containers(session=session)
        }
        assert kinds == "sandbox", "what has mounted it is gone"
        assert [mount["Type"] for mount in engine.inspect(sandbox.id)["HostConfig"]["Mounts"]] == [
            "volume",
            "bind",
        ]


def test_what_cannot_be_mounted_is_refused_and_leaves_nothing(session: str, source: Path) -> None:
    below = source / "below"
    below.mkdir()

    def refused(error: type[Exception], why: str, *wanted: str) -> None:
        with pytest.raises(error, match=why):
            Sandbox.create("docker", session=session, mounts=[*wanted])
        assert engine.containers(session=session) == []

    refused(InvalidRequestError, "belongs to root", f"{source.parent}:/mnt/x:rw")
    refused(InvalidRequestError, "no directory", f"{source}:/etc/passwd")
    for kind, error, why in (
        ("proc", InvalidRequestError, "where the kernel shows itself"),
        ("ramfs", UnsupportedError, "cannot show another owner"),
    ):
        at = below if kind == "proc" else source
        subprocess.run(["mount", "-t", kind, kind, str(at)], check=True)
        try:
            refused(error, why, f"{source}:/mnt/x")
        finally:
            subprocess.run(["umount", str(at)], check=True)


def test_where_it_is_possible() -> None:
    local, remote = Engine("unix:///run/docker.sock"), Engine("tcp://127.0.0.1:1")
    modern = {"KernelVersion": "6.1.0-13-amd64", "SecurityOptions": ["name=seccomp"]}
    assert mounts.are_possible(local, modern)
    assert not mounts.are_possible(remote, modern)
    for other in (
        {"KernelVersion": "5.10.0"},
        {"KernelVersion": ""},
        {"SecurityOptions": ["name=rootless"]},
        {"SecurityOptions": ["name=userns"]},
        {"OperatingSystem": "Docker Desktop"},
    ):
        assert not mounts.are_possible(local, {**modern, **other})


AS_ANOTHER = """
import os, sys
from sandboxkit import Sandbox
engine, source, roots = sys.argv[1:]
look = "id -un; stat -c %U /mnt/x/made /mnt/roots/file; cat /mnt/roots/file || echo closed"
def use():
    with Sandbox.create("docker", mounts=[source + ":/mnt/x:rw", roots + ":/mnt/roots"]) as sandbox:
        print(sandbox.run("echo > /mnt/x/made; " + look, check=True).stdout, end="")
use()  # so that everything is imported, as the other user may not read what is root's
print("-")
os.remove(source + "/made")
os.setgroups([os.stat(engine).st_gid]); os.setgid(4242); os.setuid(4242)
os.environ.update(HOME=source, XDG_CONFIG_HOME=source, XDG_RUNTIME_DIR=source)
use()
"""


def test_an_ordinary_user_is_the_one_who_is_stood_for(source: Path, tmp_path: Path) -> None:
    """Who may use an engine might have it mount anything; here it is shown as that user sees it."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o111)
    os.chown(source, 4242, 4242)
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "file").write_text("open\n")
    (roots / "file").chmod(0o600)
    ran = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, engine.SOCKET, str(source), str(roots)],
        capture_output=True,
        text=True,
    )
    # For root, the sandbox's user stands for the owner, which here is root; for others it does not.
    assert ran.stdout.split("-\n") == [
        "user\nuser\nuser\nopen\n",
        "user\nuser\nnobody\nclosed\n",
    ], ran.stderr
    assert (source / "made").stat().st_uid == 4242
