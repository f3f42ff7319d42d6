"""Files: bit for bit, by the file API and by commands alike."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxkit import FileError, InvalidRequestError, Sandbox, WriteManyError

CONTENTS = {
    "empty": b"",
    "newline": b"\n",
    "spaces": b"  a  \n\n",
    "nul": b"\0" * 1000,
    "not utf-8": bytes(range(256)) * 300,
    "crlf": b"a\r\nb\r\n",
    "large": os.urandom(3_000_001),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_was_written_is_read(sandbox: Sandbox, kind: str) -> None:
    content = CONTENTS[kind]
    sandbox.files.write("file", content)
    assert sandbox.files.read_bytes("file") == content
    assert b"".join(sandbox.files.read_stream("file")) == content


@pytest.mark.needs("commands")
@pytest.mark.parametrize("kind", CONTENTS)
def test_commands_see_the_same_bytes(sandbox: Sandbox, kind: str) -> None:
    content = CONTENTS[kind]
    sandbox.files.write("from-api", content)
    digest = sandbox.run("sha256sum < from-api").stdout.split()[0]
    assert digest == hashlib.sha256(content).hexdigest()
    sandbox.run("cat > from-command", stdin=content, check=True)
    assert sandbox.files.read_bytes("from-command") == content


def test_text_and_sources(sandbox: Sandbox, tmp_path: Path) -> None:
    local = tmp_path / "source"
    local.write_bytes(b"local\xff")
    sandbox.files.write("text", "grüße\n")
    assert sandbox.files.read_text("text") == "grüße\n"
    sandbox.files.write("path", local)
    assert sandbox.files.read_bytes("path") == b"local\xff"
    sandbox.files.write("chunks", iter([b"a", b"", b"bc"]))
    assert sandbox.files.read_bytes("chunks") == b"abc"
    with pytest.raises(UnicodeDecodeError):
        sandbox.files.read_text("path")
    assert sandbox.files.read_text("path", errors="replace") == "local\ufffd"


def test_ranges(sandbox: Sandbox) -> None:
    sandbox.files.write("digits", b"0123456789" * 20000)
    assert sandbox.files.read_bytes("digits", offset=5, length=10) == b"5678901234"
    assert sandbox.files.read_bytes("digits", offset=199_995) == b"56789"
    assert sandbox.files.read_bytes("digits", offset=300_000) == b""
    assert sandbox.files.read_bytes("digits", length=0) == b""
    with pytest.raises(InvalidRequestError):
        sandbox.files.read_bytes("digits", offset=-1)


def test_parents_are_made_and_names_may_be_odd(sandbox: Sandbox) -> None:
    names = [
        "a/b/c.txt",
        "with space/ü 😀.txt",
        "-rf",
        "quote'\"$(x)`y`",
        "back\\slash",
        "new\nline",
    ]
    for name in names:
        sandbox.files.write(name, name)
    for name in names:
        assert sandbox.files.read_text(name) == name
    if sandbox.capabilities.file_ops:
        listed = {info.path.removeprefix("/home/user/") for info in sandbox.files.list(depth=9)}
        assert set(names) <= listed


def test_relative_paths_start_at_the_workdir(sandbox: Sandbox) -> None:
    sandbox.files.write("x/../y", "1")
    assert sandbox.files.read_text("/home/user/y") == "1"
    sandbox.files.write("/tmp/abs", "2")
    assert sandbox.files.read_text("../../tmp/abs") == "2"


@pytest.mark.needs("file_ops")
def test_modes(sandbox: Sandbox) -> None:
    sandbox.files.write("plain", "1")
    assert sandbox.files.stat("plain").mode == 0o644
    sandbox.files.write("script", "#!/bin/sh\necho ran\n", mode=0o755)
    assert sandbox.files.stat("script").mode == 0o755
    sandbox.files.write("script", "#!/bin/sh\necho again\n")
    assert sandbox.files.stat("script").mode == 0o755
    with pytest.raises(InvalidRequestError, match="0o"):
        sandbox.files.write("bad", "", mode=0o100644)


@pytest.mark.needs("file_ops")
def test_stat_and_list(sandbox: Sandbox) -> None:
    sandbox.files.write("d/one", "1")
    sandbox.files.write("d/sub/two", "22")
    for kind, content in CONTENTS.items():
        sandbox.files.write(f"sizes/{kind}", content)
        assert sandbox.files.stat(f"sizes/{kind}").size == len(content)
    info = sandbox.files.stat("d/sub/two")
    assert (info.name, info.type, info.size) == ("two", "file", 2)
    assert (info.owner, info.is_dir) == ("user", False)
    assert sandbox.files.stat("d").is_dir
    assert [one.path for one in sandbox.files.list("d")] == ["/home/user/d/one", "/home/user/d/sub"]
    deep = [one.path for one in sandbox.files.list("d", depth=2)]
    assert deep == ["/home/user/d/one", "/home/user/d/sub", "/home/user/d/sub/two"]
    assert sandbox.files.exists("d/one")
    assert not sandbox.files.exists("d/none")
    with pytest.raises(InvalidRequestError):
        sandbox.files.list("d", depth=0)


@pytest.mark.needs("commands")
def test_symlinks(sandbox: Sandbox) -> None:
    sandbox.run("echo t > target; ln -s target link; ln -s nowhere broken", check=True)
    link = sandbox.files.stat("link")
    assert (link.type, link.target) == ("symlink", "target")
    assert sandbox.files.stat("broken").type == "symlink"
    assert sandbox.files.read_text("link") == "t\n"
    sandbox.files.write("link", "new\n")
    assert sandbox.run("cat target; readlink link").stdout == "new\ntarget\n"
    sandbox.files.remove("link")
    assert sandbox.files.exists("target")


@pytest.mark.needs("file_ops")
def test_mkdir(sandbox: Sandbox) -> None:
    sandbox.files.mkdir("m/n/o", mode=0o750)
    assert sandbox.files.stat("m/n/o").mode == 0o750
    sandbox.files.mkdir("m/n/o")
    with pytest.raises(FileExistsError):
        sandbox.files.mkdir("m/n/o", parents=False)
    with pytest.raises(FileNotFoundError):
        sandbox.files.mkdir("x/y", parents=False)
    sandbox.files.write("file", "")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        sandbox.files.mkdir("file")


@pytest.mark.needs("file_ops")
def test_remove_and_rename(sandbox: Sandbox) -> None:
    sandbox.files.write("d/x", "1")
    with pytest.raises(OSError, match="d"):
        sandbox.files.remove("d")
    sandbox.files.rename("d/x", "d/y")
    assert not sandbox.files.exists("d/x")
    sandbox.files.write("z", "old")
    sandbox.files.rename("d/y", "z")
    assert sandbox.files.read_text("z") == "1"
    sandbox.files.write("d/e/f", "")
    sandbox.files.rename("d", "moved")
    assert sandbox.files.exists("moved/e/f")
    sandbox.files.remove("moved", recursive=True)
    assert not sandbox.files.exists("moved")
    with pytest.raises(FileNotFoundError):
        sandbox.files.remove("moved", recursive=True)
    with pytest.raises(FileNotFoundError):
        sandbox.files.rename("none", "other")


def failures(sandbox: Sandbox, cases: list[tuple[Callable[[], object], type[OSError]]]) -> None:
    """Each fails as the built-in that fits, and says where."""
    for attempt, kind in cases:
        with pytest.raises(kind) as caught:
            attempt()
        assert isinstance(caught.value, FileError)
        assert caught.value.provider == sandbox.provider
        assert caught.value.sandbox_id == sandbox.id


def test_errors_are_the_built_ins(sandbox: Sandbox) -> None:
    files = sandbox.files
    files.write("file", "x")
    files.write("dir/below", "x")
    failures(
        sandbox,
        [
            (lambda: files.read_bytes("missing"), FileNotFoundError),
            (lambda: files.read_bytes("dir"), IsADirectoryError),
            (lambda: files.read_bytes("file/below"), NotADirectoryError),
            (lambda: files.write("dir", "x"), IsADirectoryError),
            (lambda: files.write("file/below", "x"), OSError),
            (lambda: files.write("n" * 300, "x"), OSError),
        ],
    )
    assert files.read_text("file") == "x"


@pytest.mark.needs("file_ops")
def test_errors_of_directories_are_the_built_ins(sandbox: Sandbox) -> None:
    files = sandbox.files
    files.write("file", "x")
    failures(
        sandbox,
        [
            (lambda: files.list("file"), NotADirectoryError),
            (lambda: files.list("missing"), FileNotFoundError),
            (lambda: files.stat("missing"), FileNotFoundError),
        ],
    )


@pytest.mark.needs("commands")
def test_permissions_are_the_users(sandbox: Sandbox) -> None:
    if sandbox.capabilities.users:  # else all but the template is the one user's own
        with pytest.raises(PermissionError):
            sandbox.files.write("/etc/mine", "x")
        with pytest.raises(PermissionError):
            sandbox.files.mkdir("/opt/mine")
    with pytest.raises(OSError, match="/usr/mine"):
        sandbox.files.mkdir("/usr/mine")
    sandbox.run("echo s > secret; chmod 000 secret", check=True)
    with pytest.raises(PermissionError):
        sandbox.files.read_bytes("secret")
    sandbox.files.write("mine", "x")
    assert sandbox.run("stat -c %U mine").stdout == "user\n"


@pytest.mark.needs("commands")
def test_what_is_no_file_is_refused_at_once(sandbox: Sandbox) -> None:
    sandbox.run("mkfifo fifo", check=True)
    with pytest.raises(OSError, match="fifo"):
        sandbox.files.read_bytes("fifo")
    for path in ("/dev/zero", "/dev/tty"):
        with pytest.raises(OSError, match="dev"):
            sandbox.files.read_bytes(path)


def test_bad_paths(sandbox: Sandbox) -> None:
    for attempt in (
        lambda: sandbox.files.read_bytes("a\0b"),
        lambda: sandbox.files.write("a\0b", ""),
        lambda: sandbox.files.write("", "x"),
        lambda: sandbox.files.upload("/dev/null", "a\0b"),
    ):
        with pytest.raises(InvalidRequestError):
            attempt()


@pytest.mark.needs("commands")
def test_a_write_is_atomic(sandbox: Sandbox) -> None:
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    sandbox.files.write("target", old)

    def pieces():
        for start in range(0, len(new), 100_000):
            seen = sandbox.run("tr -d o < target | wc -c").stdout.strip()
            assert seen == "0", "a reader saw a half-written file"
            yield new[start : start + 100_000]

    sandbox.files.write("target", pieces())
    assert sandbox.files.read_bytes("target") == new


def test_a_source_that_fails_leaves_the_old_file(sandbox: Sandbox) -> None:
    sandbox.files.write("kept", "old")

    def failing():
        yield b"new"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        sandbox.files.write("kept", failing())
    assert sandbox.files.read_text("kept") == "old"
    if sandbox.capabilities.file_ops:
        assert [one.name for one in sandbox.files.list(".") if one.type == "file"] == ["kept"]


@pytest.mark.needs("file_ops")
def test_upload_and_download(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(500_000))
    source.chmod(0o750)
    sandbox.files.upload(source, "up/there")
    assert sandbox.files.stat("up/there").mode == 0o750
    sandbox.files.download("up/there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    with pytest.raises(FileNotFoundError):
        sandbox.files.upload(tmp_path / "missing", "x")
    with pytest.raises(FileNotFoundError):
        sandbox.files.download("missing", tmp_path / "never")
    assert not (tmp_path / "never").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "source"]


def test_files_from_many_threads(sandbox: Sandbox) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                content = f"{number}:{turn}" * 1000
                sandbox.files.write(f"t{number}", content)
                assert sandbox.files.read_text(f"t{number}") == content
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.needs("file_ops")
def test_many_are_written_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    local = tmp_path / "source"
    local.write_bytes(b"source")
    many = {f"many/{number}/file": f"{number}" * number for number in range(100)}
    sandbox.files.write_many({**many, "path": local, "/tmp/chunks": iter([b"a", b"b"])})
    for path in ("many/0/file", "many/1/file", "many/99/file"):
        assert sandbox.files.read_text(path) == many[path]
    assert len(sandbox.files.list("many", depth=2)) == 200
    assert sandbox.files.read_bytes("path") == b"source"
    assert sandbox.files.read_bytes("/tmp/chunks") == b"ab"
    sandbox.files.write_many({})


@pytest.mark.needs("file_ops")
def test_what_of_many_could_not_be_written_is_named(sandbox: Sandbox) -> None:
    sandbox.files.mkdir("dir")
    with pytest.raises(IsADirectoryError) as single:
        sandbox.files.write_many({"a": "1", "dir": "2", "b": "3"})
    assert single.value.filename == "/home/user/dir"
    with pytest.raises(WriteManyError, match="2 of 4 files were not written: dir, a/below") as more:
        sandbox.files.write_many({"c": "1", "dir": "2", "a/below": "3", "d": "4"})
    assert list(more.value.failures) == ["dir", "a/below"]
    assert isinstance(more.value.failures["dir"], IsADirectoryError)
    assert more.value.sandbox_id == sandbox.id
    assert [sandbox.files.read_text(path) for path in "abcd"] == ["1", "3", "1", "4"]


@pytest.mark.needs("file_ops")
def test_a_mistake_among_many_is_told_before_anything_is_written(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequestError):
        sandbox.files.write_many({"a": "1", "b": 2})  # type: ignore[dict-item]
    with pytest.raises(InvalidRequestError, match="write_many"):
        sandbox.files.write_many([("a", "1")])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        sandbox.files.write_many({"a": "1", "b": tmp_path / "missing"})
    assert not sandbox.files.exists("a")

    def failing():
        yield b"new"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke") as caught:
        sandbox.files.write_many({"b": failing()})
    assert caught.value.__notes__ == ["not written: b"]
