"""Saving a sandbox's files, and starting from them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.errors import (
    InvalidRequestError,
    ProtocolError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
    UnsupportedError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotIdRequest, SnapshotListRequest, SnapshotRequest
from sandboxkit_local.daemon.snapshots import SnapshotStore
from tests.leaks import Census
from tests.local.harness import KIND, Harness, eventually
from tests.local.test_crash import DOOMED_CLIENT, ROOT

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
    with pytest.raises(InvalidRequestError, match="needs more disk") as caught:
        local.create(snapshot=snapshot.id, disk=20 << 20)
    assert "resources disk=" in str(caught.value.hint)
    assert local.ask("ping")["sandboxes"] == before


@pytest.mark.parametrize("member", ["../../etc/evil", "/etc/evil", "d/../../../evil", "link/evil"])
def test_hostile_archive_stays_inside(local: Harness, state: Path, tmp_path: Path, member: str):
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


def files(state: Path) -> set[str]:
    return {path.name for path in (state / "snapshots").iterdir()}


def save_again(local: Harness, sandbox_id: str, name: str) -> SnapshotInfo:
    """Take a snapshot as soon as its name is free."""
    taken: list[SnapshotInfo] = []

    def free() -> bool:
        with contextlib.suppress(InvalidRequestError):
            taken.append(save(local, sandbox_id, name=name))
        return bool(taken)

    eventually(free)
    return taken[0]


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.1, None])
def test_cancelled_snapshot_leaves_nothing(local: Harness, state: Path, wait: float | None):
    source, name = local.create().id, uuid4().hex
    local.sh(source, "head -c 100000000 /dev/urandom > big; md5sum big > sum")
    before = files(state)

    async def main() -> None:
        request = SnapshotRequest(sandbox_id=source, name=name)
        task = asyncio.create_task(local.provider.snapshot(request))
        if wait is None:  # just as it has been answered
            while name not in {record["name"] for record in await listed(local)}:
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(wait)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await local.provider.delete_snapshot(SnapshotIdRequest(snapshot_id=(await task).id))

    local.do(main())
    snapshot = save_again(local, source, name)
    assert files(state) - before == {f"{snapshot.id}.json", f"{snapshot.id}.tar"}
    restored = local.create(snapshot=snapshot.id).id
    assert local.sh(restored, "md5sum -c sum").strip() == "big: OK"


async def listed(local: Harness) -> list[dict[str, object]]:
    return [item async for item in local.provider._daemon.pages("list_snapshots", labels={})]


@pytest.mark.parametrize("when", ["asked", "answered"])
def test_client_killed_in_the_middle_of_a_snapshot(local: Harness, state: Path, when: str):
    source, name = local.create().id, uuid4().hex
    local.sh(source, "head -c 20000000 /dev/urandom > big")
    before = files(state)
    order = {"id": 1, "do": "snapshot", "nonce": uuid4().hex, "sandbox": source, "name": name}
    ran = subprocess.run(
        [sys.executable, "-c", DOOMED_CLIENT, when],
        input=json.dumps({**order, "labels": {}, "lifetime": None}).encode(),
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    snapshot = save_again(local, source, name)
    assert files(state) - before == {f"{snapshot.id}.json", f"{snapshot.id}.tar"}


def take(store: SnapshotStore, content: int, *, cancel: bool = False) -> None:
    """Let a store take a snapshot whose guest sends some bytes, and more for ever if cancelled."""
    reading, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), open(writing, "wb", closefd=False) as pipe:
            pipe.write(bytes(content))

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        done.set_result({"ok": True})
        fields = {"name": None, "labels": {}, "lifetime": None, "template": {}}
        taking = asyncio.create_task(store.take(reading, done, 1 << 20, **fields))
        if cancel:
            await asyncio.sleep(0.1)
            taking.cancel()
        async with asyncio.timeout(5):
            await taking

    writer = threading.Thread(target=lambda: (write(), None if cancel else os.close(writing)))
    writer.start()
    try:
        asyncio.run(main())
    finally:
        os.close(reading)
        writer.join()
        if cancel:
            os.close(writing)


def test_more_than_the_disk_can_hold_is_not_stored(tmp_path: Path):
    store = SnapshotStore(tmp_path)
    take(store, 60 << 20)
    assert [record["size"] for record in store.list({})] == [60 << 20]
    before = set(tmp_path.iterdir())
    with pytest.raises(ProtocolError, match="disk cannot hold"):
        take(store, 67 << 20)
    assert set(tmp_path.iterdir()) == before
    assert len(store.list({})) == 1


def test_guest_that_goes_silent_can_be_abandoned(tmp_path: Path):
    threads = threading.active_count()
    with pytest.raises(asyncio.CancelledError):
        take(SnapshotStore(tmp_path), 10, cancel=True)
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == threads


def restore(local: Harness, state: Path, *members: tuple[dict[str, str], bytes]) -> str:
    """A sandbox made from an archive of files /f0, /f1, ... with these PAX headers."""
    snapshot = save(local, local.create().id)
    path = state / "snapshots" / f"{snapshot.id}.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number, (headers, content) in enumerate(members):
            member = tarfile.TarInfo(f"f{number}")
            member.size, member.pax_headers, member.mode = len(content), headers, 0o644
            archive.addfile(member, io.BytesIO(content))
    return local.create(snapshot=snapshot.id, disk=64 << 20).id


def sparse(segments: str, size: object) -> dict[str, str]:
    return {"SANDBOXKIT.sparse": segments, "SANDBOXKIT.size": str(size)}


def test_files_with_holes_are_restored_with_holes(local: Harness, state: Path):
    size = 10 << 30
    sandbox = restore(
        local,
        state,
        (sparse("4096,5;1048576,3", size), b"hello" + b"end"),
        (sparse("", 1 << 40), b""),
        (sparse("0,3;3,2", 5), b"abcde"),
        (sparse("", 0), b""),
        ({}, b"plain"),
    )
    script = (
        "import os\n"
        "print([(s.st_size, s.st_blocks < 100) for s in map(os.stat, ('/f0', '/f1', '/f3'))])\n"
        "fd = os.open('/f0', os.O_RDONLY)\n"
        "print([os.pread(fd, 7, at) for at in (4095, 1048575)])\n"
        "print(open('/f2').read(), open('/f4').read())\n"
    )
    assert local.sh(sandbox, ("python", "-c", script)).splitlines() == [
        str([(size, True), (1 << 40, True), (0, True)]),
        str([b"\0hello\0", b"\0end\0\0\0"]),
        "abcde plain",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        sparse("-1,5", 100),
        sparse("0,-5", 100),
        sparse("0,5", -1),
        sparse("0,5", 4),
        sparse("10,3;5,2", 100),
        sparse("0,3;2,2", 100),
        sparse("0,4", 100),
        sparse("0,6", 100),
        sparse("0,5", ""),
        sparse("0,5", "1e3"),
        sparse("0,5", 1 << 63),
        sparse("0,5", 10**40),
        sparse("0 ,5", 100),
        sparse("0;5", 100),
        sparse("nonsense", 100),
        {"SANDBOXKIT.sparse": "0,5"},
    ],
)
def test_hostile_holes_are_refused(local: Harness, state: Path, headers: dict[str, str]):
    with pytest.raises(ProviderUnavailableError, match="unpacked"):
        restore(local, state, (headers, b"12345"))


def test_times_are_restored_to_the_nanosecond(local: Harness, state: Path):
    times = {
        "1700000000.123456789": 1_700_000_000_123_456_789,
        "1700000000.1": 1_700_000_000_100_000_000,
        "-1.5": -1_500_000_000,
        "5": 5_000_000_000,
        "1e3": 1_000_000_000_000,
    }
    sandbox = restore(local, state, *(({"mtime": text}, b"") for text in times))
    script = f"import os; print([os.stat(f'/f{{n}}').st_mtime_ns for n in range({len(times)})])"
    assert local.sh(sandbox, ("python", "-c", script)).strip() == str([*times.values()])


@pytest.mark.parametrize("text", ["nan", "inf", "1e300"])
def test_hostile_times_are_refused_or_ignored(local: Harness, state: Path, text: str):
    with contextlib.suppress(ProviderUnavailableError):
        restore(local, state, ({"mtime": text}, b""))
    assert local.ask("ping")
