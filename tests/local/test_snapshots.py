"""Saving a sandbox's files, and starting from them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.errors import (
    InvalidRequestError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
    UnsupportedError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotIdRequest, SnapshotListRequest, SnapshotRequest
from tests.leaks import Census
from tests.local.harness import KIND, Harness, eventually

ROOT_USER = None if KIND == "single" else "root"


def save(local: Harness, sandbox_id: str, **fields: object) -> SnapshotInfo:
    request = SnapshotRequest(sandbox_id=sandbox_id, **fields)
    return local.do(local.provider.snapshot(request))


def saved(local: Harness, **labels: str) -> list[SnapshotInfo]:
    async def main() -> list[SnapshotInfo]:
        request = SnapshotListRequest(labels=labels)
        return [info async for info in local.provider.list_snapshots(request)]

    return local.do(main())


def delete(local: Harness, snapshot_id: str) -> bool:
    request = SnapshotIdRequest(snapshot_id=snapshot_id)
    return local.do(local.provider.delete_snapshot(request))


PREPARE = """
set -e
cd /home/user
mkdir -p d/e && chmod 0750 d && echo deep > d/e/f
printf '\\000\\001\\377' > bytes
ln -s d/e/f soft; ln bytes hard; ln -s /etc/passwd absolute
mkfifo pipe; chmod 4751 bytes
touch -d '2001-02-03 04:05:06 UTC' d/e/f
printf x > "$(printf 'odd\\nname \\303\\274')"
python3 -c "import os; os.setxattr('bytes', 'user.note', b'\\x00\\xff')"
"""

DESCRIBE = """
cd /home/user; find . -printf '%p %M %U:%G %s %l %Ts\\n' | grep -v '^\\. ' | sort
md5sum bytes hard d/e/f; stat -c %h bytes
python3 -c "import os; print(os.getxattr('bytes', 'user.note'))"
"""


def test_restored_files_are_the_same(local: Harness):
    source = local.create().id
    local.sh(source, PREPARE)
    expected = local.sh(source, DESCRIBE)
    snapshot = save(local, source)
    assert snapshot.size
    restored = local.create(snapshot=snapshot.id).id
    assert local.sh(restored, DESCRIBE) == expected
    assert local.sh(restored, "cat d/e/f").strip() == "deep"


def test_deletions_and_replaced_directories(local: Harness):
    source = local.create().id
    local.sh(
        source,
        "rm /etc/hosts && rm -r /etc/ld.so.conf.d /srv && mkdir /srv && echo new > /etc/hostname"
        " && rmdir /mnt && echo file > /mnt",
        user=ROOT_USER,
    )
    restored = local.create(snapshot=save(local, source).id).id
    for path in ("/etc/hosts", "/etc/ld.so.conf.d"):
        assert local.run(restored, ("test", "-e", path)).code == 1, path
    assert local.sh(restored, "cat /etc/hostname /mnt; ls -A /srv").split() == ["new", "file"]
    # And once more, from the restored one.
    again = local.create(snapshot=save(local, restored).id).id
    assert local.run(again, "test -e /etc/hosts").code == 1


def test_owners(local: Harness):
    if KIND == "single":  # there is nobody else
        return
    source = local.create().id
    local.write(source, "/tmp/f", b"x", user="1234", mode=0o640)
    restored = local.create(snapshot=save(local, source).id).id
    assert local.sh(restored, "stat -c '%u %g %a' /tmp/f").split() == ["1234", "1234", "640"]


def test_snapshot_is_independent(local: Harness):
    source = local.create().id
    local.write(source, "/home/user/f", b"before")
    snapshot = save(local, source)
    local.write(source, "/home/user/f", b"after")
    one, two = (local.create(snapshot=snapshot.id).id for _ in range(2))
    local.write(one, "/home/user/f", b"mine")
    assert local.sh(two, "cat f") == "before"
    local.kill(source)
    assert local.sh(local.create(snapshot=snapshot.id).id, "cat f") == "before"


def test_names_are_unique_per_owner(local: Harness):
    source = local.create().id
    name = uuid4().hex
    first = save(local, source, name=name, labels={"owner": "a"})
    with pytest.raises(InvalidRequestError):
        save(local, source, name=name, labels={"owner": "a"})
    save(local, source, name=name, labels={"owner": "b"})
    assert [info.id for info in saved(local, owner="a") if info.name == name] == [first.id]
    assert delete(local, first.id) is True
    assert delete(local, first.id) is False
    save(local, source, name=name, labels={"owner": "a"})


def test_unknown_and_unsupported(local: Harness):
    with pytest.raises(SnapshotNotFoundError):
        local.create(snapshot="nonesuch")
    with pytest.raises(UnsupportedError):
        save(local, local.create().id, kind="memory")


def test_snapshots_outlive_the_daemon(local: Harness, state: Path):
    source = local.create().id
    local.write(source, "/home/user/f", b"kept")
    snapshot = save(local, source, labels={"owner": uuid4().hex})
    os.kill(local.daemon_pid(), signal.SIGKILL)
    eventually(lambda: not Census.take(state).processes)
    assert saved(local, **snapshot.labels) == [snapshot]
    assert local.sh(local.create(snapshot=snapshot.id).id, "cat f") == "kept"


def test_snapshots_expire(local: Harness, state: Path):
    snapshot = save(local, local.create().id, lifetime=0.3)
    eventually(lambda: snapshot.id not in {info.id for info in saved(local)})
    assert not list(state.glob(f"snapshots/{snapshot.id}*"))
    with pytest.raises(SnapshotNotFoundError):
        local.create(snapshot=snapshot.id)


def test_large_snapshot(local: Harness):
    source = local.create().id
    local.sh(source, "head -c 50000000 /dev/urandom > big; md5sum big > sum")
    restored = local.create(snapshot=save(local, source).id).id
    assert local.sh(restored, "md5sum -c sum").strip() == "big: OK"


def test_snapshot_too_large_for_the_disk_is_an_error(local: Harness):
    source = local.create().id
    local.sh(source, "head -c 30000000 /dev/urandom > big")
    snapshot = save(local, source)
    before = local.ask("ping")["sandboxes"]
    with pytest.raises(Exception, match="No space left"):
        local.create(snapshot=snapshot.id, disk=20 << 20)
    assert local.ask("ping")["sandboxes"] == before


@pytest.mark.parametrize("member", ["../../etc/evil", "/etc/evil", "d/../../../evil", "link/evil"])
def test_hostile_archive_stays_inside(local: Harness, state: Path, tmp_path: Path, member: str):
    import io
    import tarfile

    snapshot = save(local, local.create().id)
    with tarfile.open(state / "snapshots" / f"{snapshot.id}.tar", "w") as archive:
        for name in ("etc", "d"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        evil = tarfile.TarInfo(member)
        evil.size = 1
        archive.addfile(evil, io.BytesIO(b"x"))
    with contextlib.suppress(ProviderUnavailableError):  # refusing is as good
        local.create(snapshot=snapshot.id)
    assert not list(tmp_path.iterdir())
    assert not Path("/etc/evil").exists()
    assert not Path("/evil").exists()
