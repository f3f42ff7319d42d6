"""Volumes and templates of one tenant, tried by another, and by what a sandbox leaves in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2b import (
    SandboxException,
    Template,
    Volume,
    VolumeException,
    VolumeNotFoundException,
    VolumePathNotFoundException,
)
from e2b_code_interpreter import Sandbox

from sandboxkit.gateway.keys import hash_key, make_key
from tests.gateway.conftest import asked, serving


@pytest.fixture(scope="module")
def two(private_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    keys = [make_key(), make_key()]
    path: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(
        "".join(
            f'[tenants.{name}]\nkeys = ["{hash_key(key)}"]\n'
            for name, key in zip(("one", "two"), keys, strict=True)
        )
    )
    options = ("--profile", "local", "--keys", str(path), "--max-upload", "64MiB")
    with serving(*options) as served:
        yield served, *({**served.params, "api_key": key} for key in keys)


def test_volumes(two: Any, tmp_path: Path) -> None:
    gateway, one, other = two
    at = {"api_url": gateway.url}
    mine, theirs = Volume.create("mine", **one), Volume.create("theirs", **other)
    try:
        with pytest.raises(VolumeNotFoundException):
            Volume.get_info(theirs.volume_id, **one)
        assert Volume.destroy(theirs.volume_id, **one) is False
        with pytest.raises(SandboxException, match="404"):
            Sandbox.create(volume_mounts={"/mnt/theirs": "theirs"}, **one)
        crossed = Volume(theirs.volume_id, "theirs", mine.token)
        with pytest.raises(Exception, match="token"):
            crossed.list("/", **at)
        (tmp_path / "secret").write_text("of this machine")
        with Sandbox.create(volume_mounts={"/mnt/mine": "mine"}, **one) as sandbox:
            sandbox.commands.run(f"cd /mnt/mine; ln -s {tmp_path}/secret a; ln -s / root")
            for path in ("/a", f"/root{tmp_path}/secret", f"/../../..{tmp_path}/secret"):
                with pytest.raises(VolumePathNotFoundException):
                    mine.read_file(path, **at)
            with pytest.raises(VolumeException):
                mine.write_file("/big", b"x" * (65 << 20), **at)
            assert sandbox.commands.run("ls /mnt/mine").stdout == "a\nroot\n"
    finally:
        assert Volume.destroy(mine.volume_id, **one)
        assert Volume.destroy(theirs.volume_id, **other)


def test_templates(two: Any) -> None:
    gateway, one, other = two
    made = Template().from_base_image().run_cmd("echo mine > mine")
    Template.build(made, "own", **one)
    try:
        assert not Template.exists("own", **other)
        with pytest.raises(SandboxException, match="404"):
            Sandbox.create("own", **other)
        assert Sandbox.delete_snapshot("own", **other) is False
        with pytest.raises(Exception, match="exit status 3: why"):
            Template.build(
                Template().from_template("own").run_cmd("echo why >&2; exit 3"), "x", **one
            )
        # Files are taken only by a link that was given out, and only for the build it was for.
        for path in ("/template-files/x/y?token=", "/template-files/../../etc/x?token=z"):
            assert asked(gateway, "PUT", path, b"x")[0] == 403
    finally:
        assert Sandbox.delete_snapshot("own", **one)
