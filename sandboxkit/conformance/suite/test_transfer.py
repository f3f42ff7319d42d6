"""Directories into a sandbox and out of one: all of it, only what is missing, and nothing else."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxkit import InvalidRequestError, PathIsDirectoryError, Sandbox, TransferProgress

MIB = 1 << 20
NOON = 1_700_000_000_123_456_789
PART = ".sandboxkit-part-"


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something of everything that is kept everywhere."""
    top = tmp_path / "tree"
    (top / "sub" / "deeper").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "nothing").write_bytes(b"")
    (top / "script").write_bytes(b"#!/bin/sh\n")
    (top / "script").chmod(0o755)
    (top / "secret").write_bytes(b"s")
    (top / "secret").chmod(0o600)
    (top / "sub" / "large").write_bytes(content(3 * MIB + 1))
    (top / "sub" / "deeper" / "grüße 😀.txt").write_text("hallo")
    (top / "sub" / "new\nline").write_text("n")
    with open(os.fsencode(top) + b"/sub/not-\xff-text", "wb") as file:
        file.write(b"\xff")
    for path in [*top.rglob("*"), top]:
        os.utime(path, ns=(NOON, NOON), follow_symlinks=False)
    return top


Described = dict[str, tuple[object, ...]]


def described(top: Path) -> Described:
    """All in a tree that a copy must have too."""
    found: Described = {}
    for path in sorted(top.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("directory", stat.S_IMODE(info.st_mode))
        else:
            found[name] = ("file", stat.S_IMODE(info.st_mode), path.read_bytes())
    return found


def times(top: Path) -> dict[str, int]:
    return {str(path.relative_to(top)): path.lstat().st_mtime_ns for path in top.rglob("*")}


@pytest.mark.needs("trees")
def test_a_tree_goes_in_and_comes_back(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    up = sandbox.files.upload(tree, "copy")
    assert (up.files, up.directories, up.symlinks) == (7, 3, 0)
    assert (
        up.bytes == up.bytes_sent == sum(p.stat().st_size for p in tree.rglob("*") if p.is_file())
    )
    assert (up.files_sent, up.skipped, up.skipped_total) == (7, (), 0)
    down = sandbox.files.download("copy", tmp_path / "back")
    assert (down.files, down.directories, down.bytes) == (up.files, up.directories, up.bytes)
    assert described(tmp_path / "back") == described(tree)
    assert not list((tmp_path / "back").rglob(f"{PART}*"))


@pytest.mark.needs("trees", "commands")
def test_times_links_and_modes_are_kept(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    (tree / "rel").symlink_to("sub/large")
    (tree / "abs").symlink_to("/etc/passwd")
    (tree / "up").symlink_to("../../..")
    (tree / "sub" / "broken").symlink_to("nowhere")
    (tree / "sub" / "odd").symlink_to(os.fsdecode(b"not-\xff-text"))
    (tree / "closed").mkdir()
    (tree / "closed" / "inside").write_text("i")
    for name, mode in (("closed", 0o555), ("sub/deeper", 0o700)):
        (tree / name).chmod(mode)
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, ns=(NOON, NOON), follow_symlinks=False)
    summary = sandbox.files.upload(tree, "copy")
    assert summary.symlinks == 5
    assert sandbox.run("readlink copy/abs copy/up").stdout == "/etc/passwd\n../../..\n"
    assert sandbox.run("stat -c %a copy/closed copy/secret").stdout == "555\n600\n"
    sandbox.files.download("copy", tmp_path / "back")
    assert described(tmp_path / "back") == described(tree)
    assert times(tmp_path / "back") == times(tree)
    for top in (tree, tmp_path / "back"):
        (top / "closed").chmod(0o755)  # for whoever cleans up


@pytest.mark.needs("trees", "commands")
def test_what_is_there_is_not_sent_again(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    for move in (
        lambda: sandbox.files.upload(tree, "copy"),
        lambda: sandbox.files.download("copy", tmp_path / "back"),
    ):
        assert move().files_sent == 7
        again = move()
        assert (again.files, again.files_sent, again.bytes_sent) == (7, 0, 0)
    (tree / "script").write_bytes(b"#!/bin/bash\n")
    (tree / "sub" / "new\nline").write_text("N")  # of the same size
    (tree / "secret").chmod(0o640)
    changed = sandbox.files.upload(tree, "copy")
    assert (changed.files_sent, changed.bytes_sent) == (2, 13)
    assert sandbox.run("stat -c %a copy/secret").stdout == "640\n"
    assert sandbox.files.download("copy", tmp_path / "back").files_sent == 2
    assert described(tmp_path / "back") == described(tree)


@pytest.mark.needs("trees")
def test_checksums_find_what_times_hide(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    sandbox.files.upload(tree, "copy")
    large = tree / "sub" / "large"
    large.write_bytes(content(3 * MIB + 1, seed=1))
    os.utime(large, ns=(NOON, NOON))
    os.utime(tree / "script", ns=(NOON + 10**9, NOON + 10**9))
    summary = sandbox.files.upload(tree, "copy", verify="checksum")
    assert (summary.files_sent, summary.bytes_sent) == (1, 3 * MIB + 1)
    sandbox.files.download("copy", tmp_path / "back", verify="checksum")
    assert described(tmp_path / "back") == described(tree)
    assert sandbox.files.download("copy", tmp_path / "back", verify="checksum").files_sent == 0


@pytest.mark.needs("trees")
def test_exclude(sandbox: Sandbox, tmp_path: Path) -> None:
    top = tmp_path / "project"
    for name in (
        ".git/config",
        "src/a.py",
        "src/a.pyc",
        "node_modules/x/y",
        "build/z",
        "b/build/z",
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "keep.pyc").write_text("k")
    patterns = [".git/", "*.pyc", "!keep.pyc", "node_modules", "/build"]
    expected = {"b", "b/build", "b/build/z", "keep.pyc", "src", "src/a.py"}
    sandbox.files.upload(top, "some", exclude=patterns)
    listed = sandbox.files.list("some", depth=9)
    assert {one.path.removeprefix("/home/user/some/") for one in listed} == expected
    sandbox.files.upload(top, "all")
    sandbox.files.download("all", tmp_path / "back", exclude=patterns)
    found = {str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*")}
    assert found == expected


@pytest.mark.needs("trees")
def test_what_else_is_at_the_target_stays(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    sandbox.files.write("copy/mine", "m")
    sandbox.files.upload(tree, "copy")
    assert sandbox.files.read_text("copy/mine") == "m"
    back = tmp_path / "back"
    back.mkdir(mode=0o750)
    (back / "mine").write_text("here")
    sandbox.files.remove("copy/mine")
    sandbox.files.download("copy", back)
    assert (back / "mine").read_text() == "here"
    assert stat.S_IMODE(back.stat().st_mode) == 0o750


@pytest.mark.needs("trees")
def test_what_is_in_the_way(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    sandbox.files.write("copy/script/file", "a directory where a file comes")
    with pytest.raises(PathIsDirectoryError, match="script"):
        sandbox.files.upload(tree, "copy")
    assert sandbox.files.exists("copy/script/file")
    sandbox.files.remove("copy", recursive=True)
    sandbox.files.write("copy/sub", "a file where a directory comes")
    sandbox.files.upload(tree, "copy")
    assert sandbox.files.exists("copy/sub/large")
    (tmp_path / "back" / "script").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="script"):
        sandbox.files.download("copy", tmp_path / "back")
    sandbox.files.write("file", "f")
    with pytest.raises(NotADirectoryError, match="file"):
        sandbox.files.upload(tree, "file")


@pytest.mark.needs("trees")
def test_progress(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    moves: list[Callable[[Callable[[TransferProgress], None]], object]] = [
        lambda progress: sandbox.files.upload(tree, "copy", progress=progress),
        lambda progress: sandbox.files.download("copy", tmp_path / "back", progress=progress),
    ]
    for move in moves:
        told: list[TransferProgress] = []
        move(told.append)
        last = told[-1]
        assert (last.files_done, last.files_total) == (7, 7)
        assert last.bytes_done == last.bytes_total > 3 * MIB
        assert [one.bytes_done for one in told] == sorted(one.bytes_done for one in told)

    def angry(_: TransferProgress) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sandbox.files.upload(tree, "other", progress=angry)
    assert sandbox.files.exists("copy")


@pytest.mark.needs("trees")
def test_bad_options(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    wrong = ({"exclude": "*.pyc"}, {"exclude": ["\\"]}, {"exclude": [1]}, {"exclude": None})
    for options in ({"verify": "hope"}, {"progress": 1}, *wrong):
        with pytest.raises(InvalidRequestError):
            sandbox.files.upload(tree, "never", **options)
        with pytest.raises(InvalidRequestError):
            sandbox.files.download(".", tmp_path / "never", **options)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidRequestError, match="fifo"):
        sandbox.files.upload(tmp_path / "fifo", "never")
    with pytest.raises(FileNotFoundError):
        sandbox.files.upload(tmp_path / "missing", "never")
    assert not sandbox.files.exists("never")
    with pytest.raises(FileNotFoundError, match="missing"):
        sandbox.files.download("missing", tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.needs("trees", "commands")
def test_special_files_are_left_out_and_told(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "sub" / "fifo")
    summary = sandbox.files.upload(tree, "copy")
    assert [one.path for one in summary.skipped] == ["sub/fifo"]
    sandbox.run("mkfifo copy/pipe", check=True)
    summary = sandbox.files.download("copy", tmp_path / "back")
    assert [one.path for one in summary.skipped] == ["pipe"]
    assert "neither" in summary.skipped[0].reason


@pytest.mark.needs("trees", "commands")
def test_nothing_is_written_through_a_link(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    back = tmp_path / "back"
    back.mkdir()
    (back / "sub").symlink_to(outside)
    (back / "script").symlink_to(outside / "script")
    sandbox.run("mkdir elsewhere copy; ln -s ../elsewhere copy/sub", check=True)
    sandbox.files.upload(tree, "copy")
    assert sandbox.files.list("elsewhere") == []
    assert sandbox.files.stat("copy/sub").is_dir
    sandbox.files.download("copy", back)
    assert list(outside.iterdir()) == []
    assert described(back) == described(tree)


@pytest.mark.needs("trees", "commands")
def test_what_its_owner_may_not_enter(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    sandbox.run("mkdir -p copy/sub d; touch d/f; chmod 000 copy/sub d", check=True)
    sandbox.files.upload(tree, "copy")
    assert sandbox.files.stat("copy/sub").mode == 0o755
    assert sandbox.files.stat("copy/sub/large").size == 3 * MIB + 1
    for path in ("d/f", "d", "."):
        with pytest.raises(PermissionError, match="d"):
            sandbox.files.download(path, tmp_path / "back")
    assert not (tmp_path / "back" / "d" / "f").exists()


@pytest.mark.needs("trees", "commands")
def test_no_file_becomes_setuid(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.run("mkdir d; touch d/x; chmod 7755 d/x; chmod 3777 d", check=True)
    sandbox.files.download("d", tmp_path / "back")
    assert stat.S_IMODE((tmp_path / "back" / "x").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o777


@pytest.mark.needs("trees", "commands")
def test_links_that_are_named_are_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.run("mkdir d; echo t > d/target; ln -s d/target link; ln -s d dir", check=True)
    sandbox.files.download("link", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "t\n"
    sandbox.files.download("dir", tmp_path / "tree")
    assert (tmp_path / "tree" / "target").read_text() == "t\n"
    (tmp_path / "file").write_text("new")
    sandbox.files.upload(tmp_path / "file", "link")
    assert sandbox.run("readlink link; cat d/target").stdout == "d/target\nnew"
    sandbox.run("ln -s loop loop", check=True)
    with pytest.raises(OSError, match="loop"):
        sandbox.files.download("loop", tmp_path / "never")


@pytest.mark.needs("users", "commands", "trees")
def test_it_is_the_users_doing(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        sandbox.files.upload(tree, "/opt/mine")
    sandbox.files.upload(tree, "/opt/mine", user="root")
    assert sandbox.run("stat -c %U /opt/mine /opt/mine/sub/large").stdout == "root\nroot\n"
    with pytest.raises(PermissionError, match="secret"):
        sandbox.files.download("/opt/mine", tmp_path / "some")
    sandbox.files.download("/opt/mine", tmp_path / "some", exclude=["secret"])
    sandbox.files.download("/opt/mine", tmp_path / "all", user="root")
    assert described(tmp_path / "all") == described(tree)


@pytest.mark.needs("trees", "commands")
def test_a_part_that_is_there_is_gone_on_with(sandbox: Sandbox, tmp_path: Path) -> None:
    whole = content(5 * MIB)
    source = tmp_path / "source"
    source.write_bytes(whole)
    sandbox.files.write(f"{PART}file", whole[: 2 * MIB])
    assert sandbox.files.upload(source, "file").bytes_sent == 3 * MIB
    assert sandbox.files.read_bytes("file") == whole
    assert not sandbox.files.exists(f"{PART}file")
    (tmp_path / f"{PART}back").write_bytes(whole[: 4 * MIB])
    assert sandbox.files.download("file", tmp_path / "back").bytes_sent == MIB
    assert (tmp_path / "back").read_bytes() == whole
    # One that does not fit is begun anew.
    sandbox.files.write(f"{PART}other", content(2 * MIB, seed=9))
    assert sandbox.files.upload(source, "other").bytes_sent == 5 * MIB
    assert sandbox.files.read_bytes("other") == whole
    (tmp_path / f"{PART}other").write_bytes(whole + b"longer")
    assert sandbox.files.download("other", tmp_path / "other").bytes_sent == 5 * MIB
    assert sorted(os.listdir(tmp_path)) == ["back", "other", "source"]


@pytest.mark.needs("trees")
def test_many_small_files(sandbox: Sandbox, tmp_path: Path) -> None:
    top = tmp_path / "many"
    for number in range(3000):
        path = top / f"d{number % 30}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number % 700, seed=number))
    assert sandbox.files.upload(top, "many").files == 3000
    assert sandbox.files.download("many", tmp_path / "back").files == 3000
    assert described(tmp_path / "back") == described(top)


@pytest.mark.needs("trees")
def test_create_takes_a_directory(target, tree: Path) -> None:
    with target.create(files={"work": tree, "one": tree / "script"}) as sandbox:
        assert sandbox.files.read_bytes("work/sub/large") == content(3 * MIB + 1)
        assert sandbox.files.stat("work/empty").is_dir
        assert sandbox.files.read_text("one") == "#!/bin/sh\n"
