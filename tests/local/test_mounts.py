"""What a mounted directory must not give a sandbox, and what the kernel does not let us mount."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import HostMount, SnapshotIdRequest, SnapshotRequest
from tests.local.harness import KIND, Harness

USERS = ["user"] if KIND == "single" else ["user", "root"]
OWNER = 61_234


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir(mode=0o755)
    (directory / "file").write_text("content")
    if KIND == "root":
        for path in (directory, directory / "file"):
            os.chown(path, OWNER, OWNER)
    return directory


@pytest.fixture
def host_mount(source: Path) -> Iterator[Callable[..., Path]]:
    """Mount something below the source, on the host; unmounted again afterwards."""
    made: list[Path] = []

    def mount(kind: str, *options: str, at: str = "below") -> Path:
        point = source / at
        point.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", kind, *options, kind, str(point)], check=True)
        made.append(point)
        return point

    yield mount
    for point in reversed(made):
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def shown(source: Path, target: str = "/mnt/x", *, read_only: bool = True) -> dict[str, object]:
    return {"mounts": (HostMount(source=str(source), target=target, read_only=read_only),)}


CHANGES = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]
def attempt(call, *args):
    ctypes.set_errno(0)
    result = getattr(libc, call)(*args)
    return result if result >= 0 else -ctypes.get_errno()
writable = Attributes(clear=1 | 2 | 4)
print(json.dumps({
    "remount": attempt("mount", None, b"/mnt/x", None, 32 | 4096, None),
    "setattr": attempt("syscall", 442, -100, b"/mnt/x", 0x8000, ctypes.byref(writable), 32),
    "bind": attempt("mount", b"/mnt/x", b"/tmp", None, 4096, None),
    "umount": attempt("umount2", b"/mnt/x", 2),
    "open_tree": attempt("syscall", 428, -100, b"/mnt/x", 1),
    "move_mount": attempt("syscall", 429, -100, b"/mnt/x", -100, b"/tmp", 0),
}))
"""


@pytest.mark.parametrize("user", USERS)
def test_it_cannot_be_changed_from_inside(local: Harness, source: Path, user: str) -> None:
    sandbox = local.create(**shown(source)).id
    results = json.loads(local.sh(sandbox, ("python", "-c", CHANGES), user=user))
    assert set(results.values()) == {-1}, results
    assert "Read-only" in local.run(sandbox, "touch /mnt/x/new", user=user).stderr
    flags = local.sh(sandbox, "grep ' /mnt/x ' /proc/self/mountinfo").split()[5].split(",")
    assert {"ro", "nosuid", "nodev"} <= {*flags}


def test_no_descriptor_of_it_stays_open(local: Harness, source: Path) -> None:
    sandbox = local.create(**shown(source)).id
    ours = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"-{local.paths.digest}".encode() in _read(path)
    ]
    assert ours
    for path in ours:
        try:
            found = [os.readlink(fd) for fd in (path.parent / "fd").iterdir()]
        except (FileNotFoundError, PermissionError):
            continue
        assert not [name for name in found if "source" in name], (path, found)
    assert local.sh(sandbox, "cat /mnt/x/file") == "content"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.parametrize("read_only", [True, False])
def test_setuid_and_devices_mean_nothing(local: Harness, source: Path, read_only: bool) -> None:
    program = source / "id"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o6755)
    if KIND == "root":
        os.mknod(source / "null", 0o666 | 0o020000, os.makedev(1, 3))
        (source / "null").chmod(0o666)
    sandbox = local.create(**shown(source, read_only=read_only)).id
    assert local.sh(sandbox, "/mnt/x/id -u").strip() == "1000"
    if KIND == "root":
        assert "Permission denied" in local.run(sandbox, "echo > /mnt/x/null").stderr


@pytest.mark.root
def test_roots_files_are_not_the_sandboxs(local: Harness, source: Path) -> None:
    secret = source / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    sandbox = local.create(**shown(source, read_only=False)).id
    for user in USERS:
        assert local.run(sandbox, "cat /mnt/x/secret", user=user).code != 0
        assert local.run(sandbox, "rm -f /mnt/x/secret", user=user).code != 0
    local.sh(sandbox, "touch /mnt/x/new && chmod 6755 /mnt/x/new")
    found = (source / "new").stat()
    assert (found.st_uid, found.st_gid) == (OWNER, OWNER)
    # The other users of the sandbox are nobody in the mount.
    source.chmod(0o777)
    assert local.run(sandbox, "touch /mnt/x/as-root", user="root").code != 0
    assert secret.read_text() == "root's"


@pytest.mark.root
def test_nothing_is_written_as_root(local: Harness, tmp_path: Path) -> None:
    for uid, gid in ((0, 0), (0, OWNER), (OWNER, 0)):
        os.chown(tmp_path, uid, gid)
        with pytest.raises(InvalidRequestError, match="belongs to root") as caught:
            local.create(**shown(tmp_path, read_only=False))
        assert "chown" in (caught.value.hint or "")
    os.chown(tmp_path, 0, 0)
    (tmp_path / "private").write_text("of root's directory")
    (tmp_path / "private").chmod(0o600)
    sandbox = local.create(**shown(tmp_path)).id
    assert local.sh(sandbox, "cat /mnt/x/private") == "of root's directory"


@pytest.mark.root
def test_the_user_that_was_asked_for_is_the_owner(local: Harness, source: Path) -> None:
    for user in ("root", "1234"):
        sandbox = local.create(user=user, **shown(source, read_only=False)).id
        local.sh(sandbox, f"touch /mnt/x/{user}")
        assert (source / user).stat().st_uid == OWNER


@pytest.mark.skipif(KIND != "subordinate", reason="others have no second id")
def test_the_own_id_is_there_for_those_with_mounts_alone(local: Harness, source: Path) -> None:
    bare, with_mounts = local.create().id, local.create(**shown(source, read_only=False)).id
    for sandbox, extents in ((bare, 1), (with_mounts, 3)):
        assert local.sh(sandbox, "cat /proc/self/uid_map").count("\n") == extents
        assert local.sh(sandbox, "touch ~/x && id -u && stat -c %u:%g ~/x / ~").split() == [
            *("1000", "1000:1000", "0:0", "1000:1000")
        ]
    local.sh(with_mounts, "touch /mnt/x/new")
    assert (source / "new").stat().st_uid == os.getuid()
    as_root = local.create(user="root", **shown(source, read_only=False)).id
    assert local.sh(as_root, "touch /mnt/x/other ~/x && id -u && stat -c %u / ~").split() == [
        *("0", "0", "0")
    ]
    assert (source / "other").stat().st_uid == os.getuid()


@pytest.mark.root
def test_what_is_mounted_below_is_shown_and_read_only(
    local: Harness, source: Path, host_mount: Callable[..., Path]
) -> None:
    (host_mount("tmpfs") / "inner").write_text("below")
    sandbox = local.create(**shown(source)).id
    assert local.sh(sandbox, "cat /mnt/x/below/inner") == "below"
    assert "Read-only" in local.run(sandbox, "touch /mnt/x/below/new").stderr


@pytest.mark.root
def test_what_is_mounted_later_is_not_shown(
    local: Harness, source: Path, host_mount: Callable[..., Path]
) -> None:
    outer = host_mount("tmpfs")
    subprocess.run(["mount", "--make-shared", str(outer)], check=True)
    (outer / "later").mkdir()
    sandbox = local.create(**shown(outer)).id
    (host_mount("tmpfs", at="below/later") / "inner").write_text("later")
    assert local.sh(sandbox, "ls /mnt/x/later") == ""


@pytest.mark.root
def test_a_file_system_that_maps_no_owners(
    local: Harness, source: Path, host_mount: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "open").write_text("for all")
    layers = ",".join(
        f"{option}={tmp_path / name}"
        for option, name in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"))
    )
    # Overlay needs a file system below it that it may write its marks to.
    overlay = host_mount("overlay", "-o", layers)
    sandbox = local.create(**shown(overlay)).id
    assert local.sh(sandbox, "cat /mnt/x/open") == "for all"
    os.chown(overlay, OWNER, OWNER)
    with pytest.raises(UnsupportedError, match="read-only") as caught:
        local.create(**shown(overlay, read_only=False))
    assert caught.value.capability == "mounts"


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/self", "/sys", "/dev"])
def test_the_kernels_own_file_systems_are_refused(local: Harness, path: str) -> None:
    with pytest.raises(InvalidRequestError, match="kernel shows itself"):
        local.create(**shown(Path(path)))


def test_what_the_sandbox_runs_on_cannot_be_hidden(local: Harness, source: Path) -> None:
    prefix = os.path.abspath(sys.prefix)
    for target in (prefix, f"{prefix}/lib/python3/x", "/usr", "/etc/ssl/certs", "/dev/shm"):
        with pytest.raises(InvalidRequestError, match="would hide"):
            local.create(**shown(source, target))
    many = tuple(HostMount(source=str(source), target=f"/mnt/{n}") for n in range(17))
    with pytest.raises(InvalidRequestError, match="at most 16"):
        local.create(mounts=many)
    sandbox = local.create(mounts=many[:16]).id
    assert local.sh(sandbox, "cat /mnt/15/file") == "content"


def test_a_link_of_a_snapshot_leads_no_mount_astray(local: Harness, source: Path) -> None:
    sandbox = local.create().id
    local.sh(sandbox, "ln -s /tmp link; ln -s /proc proc; touch plain")
    snapshot = local.do(
        local.provider.snapshot(SnapshotRequest(sandbox_id=sandbox, labels={"owner": "x"}))
    )
    try:
        for name in ("link", "link/x", "proc", "plain", "plain/x"):
            with pytest.raises(InvalidRequestError, match="nothing can be mounted"):
                local.create(snapshot=snapshot.id, **shown(source, f"/home/user/{name}"))
    finally:
        local.do(local.provider.delete_snapshot(SnapshotIdRequest(snapshot_id=snapshot.id)))


def test_a_failed_create_leaves_the_daemon_as_it_was(local: Harness, source: Path) -> None:
    local.create(**shown(source))
    fds = Path(f"/proc/{local.daemon_pid()}/fd")
    before = len(list(fds.iterdir()))
    for _ in range(5):
        with pytest.raises(InvalidRequestError, match="No such file"):
            local.create(**shown(source / "missing"))
        with pytest.raises(InvalidRequestError, match="No such file"):
            local.create(
                mounts=(
                    HostMount(source=str(source), target="/mnt/x"),
                    HostMount(source=str(source), target="/mnt/x/missing"),
                )
            )
    assert len(list(fds.iterdir())) == before
