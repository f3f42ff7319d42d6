"""Host directories inside a sandbox: read-only by default, and nothing but what was named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandboxkit import InvalidRequestError, Mount, Sandbox, UnsupportedError

OWNER = 61_234 if os.getuid() == 0 else os.getuid()
"""Whose the directory is; not root's, since nothing may write as root."""


def give(path: Path) -> Path:
    if os.getuid() == 0:
        os.chown(path, OWNER, OWNER)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A private directory with a private file, as homes are."""
    directory = tmp_path / "source"
    for path in (directory, directory / "deep"):
        path.mkdir(mode=0o700)
        give(path)
    for name in ("file.txt", "deep/inner.txt"):
        (directory / name).write_text(f"content of {name}")
        (directory / name).chmod(0o600)
        give(directory / name)
    return directory


@pytest.mark.needs("mounts")
def test_read_only_by_default(target, source: Path) -> None:
    with target.create(mounts=[f"{source}:/mnt/data"]) as sandbox:
        assert sandbox.run("cat /mnt/data/file.txt /mnt/data/deep/inner.txt").stdout == (
            "content of file.txtcontent of deep/inner.txt"
        )
        assert sandbox.files.read_text("/mnt/data/file.txt") == "content of file.txt"
        for command in ("touch /mnt/data/new", "rm /mnt/data/file.txt", "chmod 777 /mnt/data"):
            refused = sandbox.run(command)
            assert refused.exit_code != 0
            assert "Read-only file system" in refused.stderr
        with pytest.raises(OSError, match="Read-only"):
            sandbox.files.write("/mnt/data/new", "x")
    assert sorted(os.listdir(source)) == ["deep", "file.txt"]


@pytest.mark.needs("mounts")
def test_what_a_writable_mount_gets_is_the_owners(target, source: Path) -> None:
    with target.create(mounts=[f"{source}:/mnt/data:rw"]) as sandbox:
        sandbox.run("echo ran > /mnt/data/made; mkdir /mnt/data/d; rm /mnt/data/file.txt").check()
        sandbox.files.write("/mnt/data/written", "by the file interface")
        owners = sandbox.run("stat -c %U /mnt/data /mnt/data/made /mnt/data/written").stdout
        assert set(owners.split()) == {sandbox.run("id -un").stdout.strip()}
        (source / "from-here").write_text("seen at once")
        give(source / "from-here")
        assert sandbox.files.read_text("/mnt/data/from-here") == "seen at once"
    assert (source / "made").read_text() == "ran\n"
    assert (source / "written").read_text() == "by the file interface"
    assert not (source / "file.txt").exists()
    for name in ("made", "d", "written"):
        assert (source / name).stat().st_uid == OWNER


@pytest.mark.needs("mounts")
def test_every_way_to_write_one(target, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    monkeypatch.setenv("HOME", str(source.parent))
    mounts = [
        "source:/mnt/relative",
        "~/source:/mnt/home:ro",
        Mount(source, "/mnt/object"),
        {"source": str(source), "target": "/mnt/table", "read_only": False},
        Mount(source / "deep", "/home/user/project/deep"),
    ]
    with target.create(mounts=mounts) as sandbox:
        for name in ("relative", "home", "object", "table"):
            assert sandbox.files.exists(f"/mnt/{name}/file.txt")
        assert sandbox.run("touch /mnt/table/new").ok
        assert sandbox.files.read_text("project/deep/inner.txt") == "content of deep/inner.txt"
        assert sandbox.run("touch project/beside").ok, "what was made on the way is the user's"


@pytest.mark.needs("mounts")
def test_a_mount_within_a_mount(target, source: Path, tmp_path: Path) -> None:
    inner = give(tmp_path)
    (inner / "inner.txt").write_text("another")
    mounts = [f"{inner}:/data/deep", f"{source}:/data"]  # the order does not matter
    with target.create(mounts=mounts) as sandbox:
        assert sandbox.run("cat /data/file.txt").stdout == "content of file.txt"
        assert sandbox.run("cat /data/deep/inner.txt").stdout == "another"
    with pytest.raises(InvalidRequestError, match="mkdir -p"):
        target.create(mounts=[f"{source}:/data", f"{inner}:/data/missing"])
    assert not (source / "missing").exists()


@pytest.mark.needs("mounts")
def test_nothing_beyond_it_can_be_seen(target, source: Path) -> None:
    (source.parent / "outside").write_text("not named")
    (source / "up").symlink_to("../outside")
    (source / "absolute").symlink_to(source.parent / "outside")
    (source / "shell").symlink_to("/home/user")
    with target.create(mounts=[f"{source}:/mnt/data"]) as sandbox:
        for path in ("up", "absolute", "../outside", "../source"):
            assert not sandbox.run(f"ls -d /mnt/data/{path}/ || cat /mnt/data/{path}").ok
        # A link leads where it leads inside, as on any system.
        assert sandbox.run("cd -P /mnt/data/shell && pwd").stdout == "/home/user\n"


@pytest.mark.needs("mounts")
def test_two_sandboxes_may_share_one(target, source: Path) -> None:
    mounts = [f"{source}:/mnt/data:rw"]
    with target.create(mounts=mounts) as one, target.create(mounts=mounts) as two:
        one.files.write("/mnt/data/message", "hello")
        assert two.files.read_text("/mnt/data/message") == "hello"


@pytest.mark.needs("mounts")
def test_mounting_costs_no_rights(target, source: Path) -> None:
    with target.create(mounts=[f"{source}:/mnt/data:rw"], workdir="/mnt/data") as sandbox:
        assert sandbox.run("pwd; id -u").stdout == "/mnt/data\n1000\n"
        assert sandbox.run_code("open('file.txt').read()").text == "'content of file.txt'"
        assert not sandbox.run("chown 0 file.txt").ok


@pytest.mark.needs("mounts", "snapshots")
def test_a_snapshot_has_none_of_it(target, source: Path, tmp_path: Path) -> None:
    big = b"x" * (4 << 20)
    (source / "big").write_bytes(big)
    with target.create(mounts=[f"{source}:/mnt/data:rw"]) as sandbox:
        sandbox.files.write("kept", "kept")
        snapshot = sandbox.snapshot()
    try:
        assert snapshot.size is not None
        assert snapshot.size < len(big)
        with target.create(snapshot=snapshot) as bare:
            assert bare.files.read_text("kept") == "kept"
            assert bare.files.list("/mnt/data") == []
        other = tmp_path / "other"
        other.mkdir()
        give(other)
        (other / "other.txt").write_text("another one")
        with target.create(snapshot=snapshot, mounts=[f"{other}:/mnt/data"]) as again:
            assert again.files.read_text("/mnt/data/other.txt") == "another one"
    finally:
        snapshot.delete()


@pytest.fixture
def wrong(source: Path) -> dict[str, object]:
    s = str(source)
    return {
        "No such file": [f"{s}/missing:/mnt/x"],
        "not a directory": [f"{s}/file.txt:/mnt/x"],
        "absolute": [f"{s}:mnt/x"],
        "of the form": [s],
        "two mounts": [f"{s}:/mnt/x", f"{s}/deep:/mnt/x/"],
        "hide": [f"{s}:/"],
        "would hide": [f"{s}:/usr/local"],
        "hide what": [f"{s}:/mnt/../proc/self"],
        "list of mounts": f"{s}:/mnt/x",
        "a mount is written": [42],
        "has source": [{"source": s, "target": "/mnt/x", "readonly": True}],
        "true or false": [{"source": s, "target": "/mnt/x", "read_only": "no"}],
        "no such home": ["~nobody-of-this-name/x:/mnt/x"],
        "is not a path": ["\0:/mnt/x"],
    }


def test_what_cannot_be_is_refused_before_anything_is_made(target, wrong) -> None:
    for said, mounts in wrong.items():
        with pytest.raises(InvalidRequestError, match=said):
            target.create(mounts=mounts)


def test_a_mount_checks_itself(tmp_path: Path) -> None:
    assert Mount(tmp_path, "/mnt//x/./y/").target == "/mnt/x/y"
    assert Mount("x", "/mnt/x").source == os.path.abspath("x")
    assert Mount.parse("/a:b:/mnt/x:rw") == Mount("/a:b", "/mnt/x", read_only=False)
    for target in ("/", "mnt", "/etc", "//dev/shm", ""):
        with pytest.raises(InvalidRequestError):
            Mount(tmp_path, target)


def test_a_provider_without_refuses(source: Path) -> None:
    for best_effort in (False, True):
        with pytest.raises(UnsupportedError) as caught:
            Sandbox.create("memory", mounts=[f"{source}:/mnt/x"], best_effort=best_effort)
        assert caught.value.capability == "mounts"


@pytest.mark.needs("mounts")
def test_from_a_profile(target, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source.parent / "sandboxkit.toml").write_text(
        f'[profiles.shown]\nprovider = "{target.profile}"\n'
        'mounts = ["source:/mnt/text", { source = "source/deep", target = "/mnt/table" }]\n'
    )
    monkeypatch.chdir(source)  # what is relative starts at the file
    with Sandbox.create("shown", session=target.session) as sandbox:
        assert sandbox.files.exists("/mnt/text/file.txt")
        assert sandbox.files.exists("/mnt/table/inner.txt")
    with Sandbox.create("shown", session=target.session, mounts=[]) as sandbox:
        assert not sandbox.files.exists("/mnt/text")
