"""Templates that are a root of their own: a directory, or an archive of one."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.errors import InvalidRequestError
from sandboxkit.provider import RunCodeRequest, SnapshotRequest
from tests.local import rootfs_maker
from tests.local.harness import KIND, Harness


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rootfs_maker.make(tmp_path_factory.mktemp("roots") / "root")


@pytest.fixture(scope="module")
def tar(root: Path) -> Path:
    path = rootfs_maker.archive(root, root.parent / "root.tar")
    rootfs_maker.add(
        path,
        ("etc/motd", {"content": "welcome again\n"}),
        ("srv/ledger", {"content": "1\n", "uid": 7, "gid": 8, "mode": 0o640}),
        ("tmp", {"type": tarfile.DIRTYPE, "mode": 0o777}),
        ("srv/to", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}),
        ("srv/to/sandboxkit-escape", {"content": "1"}),
        ("../../../../tmp/sandboxkit-escape", {"content": "1"}),
        ("srv/other", {"type": tarfile.LNKTYPE, "linkname": "srv/ledger"}),
        ("srv/disk", {"type": tarfile.BLKTYPE, "devmajor": 254, "devminor": 0}),
        ("dev/null", {"content": "not a device"}),
        ("deep/er/file", {"content": "2\n"}),
    )
    return path


def of(path: Path) -> dict[str, Any]:
    return {"template": {"rootfs": str(path)}}


def text_of(local: Harness, sandbox: str, code: str) -> str:
    async def main() -> str:
        stream = await local.provider.run_code(RunCodeRequest(sandbox_id=sandbox, code=code))
        return "".join([str(event) async for event in stream.events()])

    return local.do(main())


def test_an_archive_is_a_root(local: Harness, tar: Path):
    info = local.create(options=of(tar))
    assert (info.template, info.shell, info.user) == (str(tar), "sh -c", "user")
    assert local.sh(info.id, "id -u; cat /etc/motd /deep/er/file < /dev/null") == (
        "1000\nwelcome again\n2\n"
    )
    assert not os.path.exists("/tmp/sandboxkit-escape")
    listed = local.sh(info.id, ("ls", "-A", "/srv", "/tmp"))
    assert "disk" not in listed
    assert "sandboxkit-escape" in listed  # inside
    local.sh(info.id, "touch mine && : > /dev/null")
    assert local.run(info.id, "cat /etc/shadow").code == (0 if KIND == "single" else 1)
    if KIND != "single":
        owners = local.sh(info.id, "stat -c '%u %g %a' /srv/ledger /bin/sh", user="root")
        assert owners == "7 8 640\n0 0 755\n"
        changed = "cat /etc/shadow; echo new > /etc/motd; cat /etc/motd; touch /bin/added"
        assert local.sh(info.id, changed, user="root") == "hidden\nnew\n"
        clerk = local.create(options=of(tar), user="clerk").id
        assert local.sh(clerk, "id -u; cat ledger") == "7\n1\n"
        assert local.sh(clerk, "cat /etc/motd") == "welcome again\n"  # another sandbox's change
        with pytest.raises(InvalidRequestError, match="no user 'nobody-here'"):
            local.create(options=of(tar), user="nobody-here")


def test_code_runs_where_there_is_no_python(local: Harness, tar: Path):
    sandbox = local.create(options=of(tar)).id
    modules = "import decimal, email.mime.text, sqlite3, ssl, os, sys"
    code = f"{modules}; print(decimal.Decimal(6) * 7, os.getuid(), repr(sys.executable))"
    assert "42 1000 ''" in text_of(local, sandbox, code)


def test_a_snapshot_keeps_to_its_archive(local: Harness, root: Path, tmp_path: Path):
    tar = rootfs_maker.archive(root, tmp_path / "root.tar.gz", "w:gz")
    sandbox = local.create(options=of(tar)).id
    local.write(sandbox, "/home/user/kept", b"1")
    snapshot = local.do(local.provider.snapshot(SnapshotRequest(sandbox_id=sandbox)))
    restored = local.create(snapshot=snapshot.id).id
    assert local.sh(restored, "cat kept /etc/motd") == "1welcome\n"
    if KIND != "single":
        clerk = local.create(snapshot=snapshot.id, user="clerk").id
        assert local.sh(clerk, "id -u") == "7\n"
    rootfs_maker.archive(root, tmp_path / "other.tar.gz", "w:gz").replace(tar)
    assert local.sh(local.create(options=of(tar)).id, "cat /etc/motd") == "welcome\n"
    # The zygote of the old one is still there, and has it.
    assert local.sh(local.create(snapshot=snapshot.id).id, "cat kept") == "1"


def test_a_directory_is_a_root(local: Harness, root: Path):
    info = local.create(options=of(root))
    assert local.sh(info.id, "id -u; cat /etc/motd; touch mine") == "1000\nwelcome\n"
    if KIND == "root":
        changed = "cat /etc/shadow; echo new > /etc/motd; cat /etc/motd; touch /bin/added"
        assert local.sh(info.id, changed, user="root") == "hidden\nnew\n"
    if KIND == "subordinate":  # the owner is nobody inside
        assert local.run(info.id, "cat /etc/shadow", user="root").code == 1
    assert (root / "etc/motd").read_text() == "welcome\n"
    assert not (root / "bin/added").exists()


def test_what_is_no_root_is_refused_before_anything_is_made(
    local: Harness, root: Path, tmp_path: Path
):
    garbage, saved, cut = tmp_path / "garbage", tmp_path / "saved.tar", tmp_path / "cut.tar"
    garbage.write_bytes(b"no archive")
    rootfs_maker.add(saved, ("oci-layout", {"content": "{}"}), ("blobs/sha256/x", {}))
    rootfs_maker.archive(root, cut)
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "nothing.tar", "w"):
        pass
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"rootfs": "relative"}, "an absolute path"),
        ({"rootfs": 7}, "an absolute path"),
        ({"rootfs": "/nowhere/at/all"}, "No such file"),
        ({"rootfs": "/a\0b"}, "rootfs"),
        ({"rootfs": "/"}, "this machine's own"),
        ({"rootfs": str(Path.home())}, "your home directory"),
        ({"rootfs": "/dev/null"}, "neither a directory nor a file"),
        ({"rootfs": str(garbage)}, "cannot be read as a tar archive"),
        ({"rootfs": str(saved)}, "made of layers"),
        ({"rootfs": str(tmp_path / "empty")}, "no root of a system"),
        ({"rootfs": str(tmp_path / "nothing.tar")}, "empty archive"),
        ({"rootfs": str(root), "venv": "/x"}, "leave out venv"),
        ({"rootfs": str(root), "preload": ["json"]}, "leave out preload"),
        ({"root": str(root)}, "mapping of preload, rootfs, venv"),
    ]
    for template, says in wrong:
        with pytest.raises(InvalidRequestError, match=says):
            local.create(options={"template": template})
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.raises(InvalidRequestError, match="cannot be unpacked"):
        local.create(options=of(cut))
    assert local.ask("ping")["sandboxes"] == 0
