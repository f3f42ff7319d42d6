"""Snapshots are independent of their source, and what is restored of each other."""

from __future__ import annotations

import time

import pytest

from sandboxkit import InvalidRequestError, Sandbox, SnapshotNotFoundError, UnsupportedError

pytestmark = pytest.mark.needs("snapshots")


@pytest.fixture
def name(target) -> str:
    return f"snap-{target.session}"


@pytest.mark.needs("file_ops")
def test_restored_as_it_was(target, sandbox: Sandbox) -> None:
    contents = {"a.txt": b"one", "d/e/f.bin": bytes(range(256)), "empty": b"", "ü 😀": b"x"}
    for path, content in contents.items():
        sandbox.files.write(path, content)
    sandbox.files.write("run.sh", "echo ran", mode=0o755)
    sandbox.files.mkdir("hollow")
    snapshot = sandbox.snapshot()
    try:
        assert snapshot.address.startswith(f"{target.profile}:")
        with target.create(snapshot=snapshot) as copy:
            assert copy.id != sandbox.id
            for path, content in contents.items():
                assert copy.files.read_bytes(path) == content
            assert copy.files.stat("run.sh").mode == 0o755
            assert copy.files.stat("hollow").is_dir
            before = [(one.path, one.type, one.size) for one in sandbox.files.list(depth=9)]
            after = [(one.path, one.type, one.size) for one in copy.files.list(depth=9)]
            assert after == before
    finally:
        assert snapshot.delete()


@pytest.mark.needs("file_ops")
def test_independent_of_source_and_siblings(target, sandbox: Sandbox) -> None:
    sandbox.files.write("shared", "original")
    snapshot = sandbox.snapshot()
    try:
        sandbox.files.write("shared", "changed later")
        sandbox.files.write("later", "x")
        with target.create(snapshot=snapshot) as one, target.create(snapshot=snapshot) as two:
            assert one.files.read_text("shared") == "original"
            assert not one.files.exists("later")
            one.files.write("shared", "one")
            one.files.remove("shared")
            one.files.write("only-one", "x")
            assert two.files.read_text("shared") == "original"
            assert not two.files.exists("only-one")
        sandbox.kill()
        with target.create(snapshot=snapshot) as again:
            assert again.files.read_text("shared") == "original"
    finally:
        snapshot.delete()


def test_by_address_and_by_name(target, sandbox: Sandbox, name: str) -> None:
    sandbox.files.write("x", "1")
    snapshot = sandbox.snapshot(name)
    try:
        assert snapshot.name == name
        for reference in (snapshot, snapshot.address, snapshot.info, name):
            with target.create(snapshot=reference) as copy:
                assert copy.files.read_text("x") == "1"
        listed = {one.address: one for one in Sandbox.snapshots(target.profile)}
        assert listed[snapshot.address].name == name
        with pytest.raises(InvalidRequestError, match=name):
            sandbox.snapshot(name)
    finally:
        assert snapshot.delete() is True
    assert snapshot.delete() is False
    assert snapshot.address not in {one.address for one in Sandbox.snapshots(target.profile)}
    for gone in (snapshot, snapshot.address, name):
        with pytest.raises(SnapshotNotFoundError):
            target.create(snapshot=gone)


@pytest.mark.needs("file_ops")
def test_a_snapshot_of_a_restored_sandbox(target, sandbox: Sandbox) -> None:
    sandbox.files.write("a", "1")
    sandbox.files.write("b", "1")
    first = sandbox.snapshot()
    with target.create(snapshot=first) as middle:
        middle.files.write("a", "2")
        middle.files.remove("b")
        second = middle.snapshot()
    first.delete()
    try:
        with target.create(snapshot=second) as last:
            assert last.files.read_text("a") == "2"
            assert not last.files.exists("b")
    finally:
        second.delete()


@pytest.mark.needs("commands")
def test_deletions_links_modes_and_times_survive(target, sandbox: Sandbox) -> None:
    sandbox.run(
        "mkdir -p t/u; echo x > t/u/f; ln -s u/f t/link; ln t/u/f t/hard; chmod 640 t/u/f; "
        "touch -d '2001-02-03 04:05:06' t/u/f; chmod 1777 t",
        check=True,
    )
    snapshot = sandbox.snapshot()
    try:
        with target.create(snapshot=snapshot) as copy:
            probe = "stat -c '%n %F %a %U %Y %h' t t/u t/u/f; readlink t/link; cat t/hard"
            assert copy.run(probe).stdout == sandbox.run(probe).stdout
            assert copy.run("id -u; touch t/new && echo ok").stdout == "1000\nok\n"
    finally:
        snapshot.delete()


def test_expiry(target, sandbox: Sandbox) -> None:
    snapshot = sandbox.snapshot(expires=1)
    time.sleep(2)
    assert snapshot.address not in {one.address for one in Sandbox.snapshots(target.profile)}
    with pytest.raises(SnapshotNotFoundError):
        target.create(snapshot=snapshot)


def test_memory_is_declared_never_emulated(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError):
        sandbox.snapshot(kind="memory")


def test_unknown_snapshot(target) -> None:
    for reference in (f"{target.profile}:none", "no-such-name"):
        with pytest.raises(SnapshotNotFoundError):
            target.create(snapshot=reference)


@pytest.mark.parametrize("bad", ["", " a", "a/b", "a:b", "a\nb", "x" * 129, 7], ids=repr)
def test_what_is_no_name_of_a_snapshot(target, sandbox: Sandbox, bad: object) -> None:
    with pytest.raises(InvalidRequestError, match="name"):
        sandbox.snapshot(bad)
    labels = [one.info.labels for one in Sandbox.snapshots(target.profile)]
    assert target.session not in {one.get("session") for one in labels}
