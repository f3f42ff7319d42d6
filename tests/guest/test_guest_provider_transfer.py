"""Transfers through a real guest: cut off and gone on with, and by single operations alone."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.errors import PathIsDirectoryError, TransportError
from sandboxkit.layers.emulation import EmulatedFiles
from sandboxkit.layers.trees import SMALL, EmulatedTrees
from sandboxkit.provider import Provider
from sandboxkit.transfer import TransferOptions, TransferProgress, download, upload

from .client_unsandboxed import UnsandboxedGuestProvider, sandbox

MIB = 1 << 20
PART = ".sandboxkit-part-"


def make(path: Path, size: int) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = random.Random(size).randbytes(size)
    path.write_bytes(data)
    return data


class Meddling:
    """Does something once, when so many bytes have come."""

    def __init__(self, after: int, action: Any) -> None:
        self.after = after
        self.action = action
        self.seen = 0

    def __call__(self, progress: TransferProgress) -> None:
        self.seen = progress.bytes_done
        if self.action is not None and self.seen >= self.after:
            action, self.action = self.action, None
            action()


@pytest.fixture(autouse=True)
def told_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.transfer.meter.INTERVAL", 0.0)


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_lost_connection_and_again(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(50):
        make(source / f"a{number}", number)
    data = make(source / "large", 24 * MIB)

    async def main() -> None:
        async with sandbox() as (provider, sid):

            async def move(options: TransferOptions) -> Any:
                if way == "up":
                    return await upload(provider, sid, source, str(target), options)
                return await download(provider, sid, str(source), target, options)

            cutting = Meddling(10 * MIB, provider.cut)
            with pytest.raises(TransportError):
                await move(TransferOptions(progress=cutting))
            assert not (target / "large").exists()
            async with asyncio.timeout(5):  # until the guest has seen it
                while not (target / f"{PART}large").exists():
                    await asyncio.sleep(0.01)
            summary = await move(TransferOptions())
            assert summary.files == 51
            # What was on its way as the connection broke is sent again, and no more.
            assert summary.bytes_sent < 24 * MIB - cutting.seen + 4 * MIB
            assert (target / "large").read_bytes() == data
            assert sorted(os.listdir(target)) == sorted(os.listdir(source))

    asyncio.run(main())


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_transfer_that_is_cancelled(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make(source / "large", 64 * MIB)

    async def main() -> None:
        async with sandbox() as (provider, sid):
            begun = asyncio.Event()
            options = TransferOptions(progress=Meddling(4 * MIB, begun.set))
            if way == "up":
                moving = upload(provider, sid, source, str(target), options)
            else:
                moving = download(provider, sid, str(source), target, options)
            task = asyncio.create_task(moving)
            await begun.wait()
            task.cancel()
            async with asyncio.timeout(2):
                with pytest.raises(asyncio.CancelledError):
                    await task
            # The connection is as good as before, and nobody else writes the file.
            again = await upload(provider, sid, source, str(tmp_path / "other"), TransferOptions())
            assert again.files == 1
            assert provider.dials == 1

    asyncio.run(main())


def test_a_source_that_changes_on_the_way(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make(source / "grows", 8 * MIB)
    make(source / "shrinks", 8 * MIB)

    def meddle() -> None:
        with open(source / "grows", "ab") as file:
            file.write(b"more")
        os.truncate(source / "shrinks", 7 * MIB)

    async def main() -> None:
        async with sandbox() as (provider, sid):
            options = TransferOptions(progress=Meddling(MIB, meddle))
            await upload(provider, sid, source, str(target), options)
            await upload(provider, sid, source, str(target), TransferOptions())
            for name in ("grows", "shrinks"):
                assert (target / name).read_bytes() == (source / name).read_bytes()

    asyncio.run(main())


# -- by single operations alone -----------------------------------------------------------------


def plain(provider: UnsandboxedGuestProvider, files: bool, commands: bool) -> Provider:
    provider.capabilities = replace(
        provider.capabilities, trees=False, file_ops=files, commands=commands
    )
    return EmulatedTrees(provider if files else EmulatedFiles(provider))


@pytest.mark.parametrize(
    ("files", "commands"), [(True, True), (True, False), (False, True)], ids=str
)
def test_emulated(tmp_path: Path, files: bool, commands: bool) -> None:
    source, copy, back = (tmp_path / name for name in ("source", "copy", "back"))
    for number in range(40):
        make(source / f"d{number % 3}" / f"f{number}", number * 10)
    large = make(source / "large", SMALL + 70_000)
    (source / "empty").mkdir()
    (source / "it's $(odd)").write_text("o")
    (source / "script").write_text("#!")
    (source / "script").chmod(0o755)
    os.utime(source / "script", (10**9, 10**9))
    (source / "link").symlink_to("it's $(odd)")
    (copy / "script").mkdir(parents=True)

    async def main() -> None:
        async with sandbox() as (provider, sid):
            served = plain(provider, files, commands)
            assert "trees" in served.emulated
            assert served.capabilities.trees
            options = TransferOptions()
            with pytest.raises(PathIsDirectoryError, match="script"):
                await upload(served, sid, source, str(copy), options)
            (copy / "script").rmdir()
            (copy / "large").symlink_to(tmp_path / "outside")
            summary = await upload(served, sid, source, str(copy), options)
            assert (summary.files, summary.directories) == (43, 4)
            if commands:
                assert summary.symlinks == 1
                assert os.readlink(copy / "link") == "it's $(odd)"
                assert (copy / "script").stat().st_mtime == 10**9
            else:
                assert [one.path for one in summary.skipped] == ["link"]
            assert not (tmp_path / "outside").exists()
            assert (copy / "large").read_bytes() == large
            assert (copy / "script").stat().st_mode & 0o777 == 0o755
            again = await upload(served, sid, source, str(copy), options)
            assert again.files_sent == (0 if commands else 43)
            checked = TransferOptions(verify="checksum")
            assert (await upload(served, sid, source, str(copy), checked)).files_sent == 0
            down = await download(served, sid, str(copy), back, TransferOptions(exclude=["d1/"]))
            assert down.files == 30
            assert (await download(served, sid, str(copy), back, options)).files_sent == 13
            for path in source.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    assert (back / path.relative_to(source)).read_bytes() == path.read_bytes()
            assert (back / "empty").is_dir()
            one = await upload(served, sid, source / "large", f"{copy}/new/one", options)
            assert one.bytes == len(large)
            assert (copy / "new" / "one").read_bytes() == large

    asyncio.run(main())
