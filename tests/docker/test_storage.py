"""Limits of the disk: the engine's, where its storage driver has them; else refused beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import Sandbox, UnsupportedError
from sandboxkit_docker import storage
from tests import engine
from tests.docker.own_engine import OwnEngine, file_system

MIB = 1 << 20
XFS = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "xfs"]]}
EXT4 = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}
BTRFS = {"Driver": "btrfs", "DriverStatus": [["Btrfs", ""]]}


def test_which_engines_can() -> None:
    for info, can in (
        (XFS, True),
        (BTRFS, True),
        ({"Driver": "zfs"}, True),
        (EXT4, False),
        ({"Driver": "overlay2", "DriverStatus": None}, False),
        ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd"]]}, False),
        ({"Driver": "vfs"}, False),
        ({}, False),
    ):
        assert storage.can_limit(info) == can, info


def test_what_they_are_told() -> None:
    assert storage.option(XFS, 5 * MIB, 100 * MIB) == {"size": str(5 * MIB)}
    assert storage.option(BTRFS, 5 * MIB, 100 * MIB) == {"size": str(105 * MIB)}
    with pytest.raises(UnsupportedError, match="overlay2") as caught:
        storage.option(EXT4, 5 * MIB, 100 * MIB)
    assert caught.value.capability == "limit_disk"


def test_an_engine_that_cannot(session: str) -> None:
    if storage.can_limit(engine.ask("GET", "/info")[1]):
        pytest.skip("this engine can")
    with pytest.raises(UnsupportedError) as caught:
        Sandbox.create("docker", session=session, resources={"disk": "64MiB"})
    assert caught.value.capability == "limit_disk"
    assert caught.value.outcome == "not_started"
    with Sandbox.create(
        "docker", session=session, resources={"disk": "64MiB"}, best_effort=True
    ) as sandbox:
        assert sandbox.info().unenforced == ("disk",)
        assert sandbox.metrics().disk_limit is None


@pytest.fixture
def btrfs_engine(tmp_path: Path) -> Iterator[OwnEngine]:
    with file_system(tmp_path, "btrfs", "2G"), OwnEngine(tmp_path, "btrfs") as own:
        own.load("sandboxkit-test:musl")
        yield own


@pytest.mark.root
@pytest.mark.slow
def test_an_engine_that_can(btrfs_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", btrfs_engine.address)
    options = {"image": "sandboxkit-test:musl", "resources": {"disk": "32MiB"}}
    with Sandbox.create("docker", **options) as sandbox:
        assert sandbox.info().unenforced == ()
        assert not sandbox.run("head -c 64000000 /dev/zero > full").ok
        used = sandbox.metrics()
        assert used.disk_limit == 32 * MIB
        assert used.disk_used is not None
        assert 28 * MIB <= used.disk_used <= 32 * MIB
        with pytest.raises(OSError, match="quota"):
            sandbox.files.write("more", b"x" * 8_000_000)
        sandbox.files.remove("full")
        sandbox.files.write("again", b"there is room")
    assert btrfs_engine.docker("ps", "--all", "--quiet") == b""
