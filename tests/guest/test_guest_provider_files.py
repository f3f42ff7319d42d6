"""Files and lifetimes through `GuestProvider` and a real guest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandboxkit.errors import (
    FileError,
    InvalidRequestError,
    PathExistsError,
    PathIsDirectoryError,
    PathNotDirectoryError,
    PathNotFoundError,
    SandboxNotFoundError,
    TransportError,
)
from sandboxkit.provider import (
    LifetimeRequest,
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    SandboxRequest,
    StartRequest,
    WriteFileRequest,
)

from .client_unsandboxed import UnsandboxedGuestProvider, sandbox


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for chunk in data:
        yield chunk


async def read(provider: UnsandboxedGuestProvider, sid: str, path: Path, **more: int) -> bytes:
    request = ReadFileRequest(sandbox_id=sid, path=str(path), **more)
    return b"".join([chunk async for chunk in provider.read_file(request)])


async def write(provider: UnsandboxedGuestProvider, sid: str, path: Path, *data: bytes) -> None:
    await provider.write_file(WriteFileRequest(sandbox_id=sid, path=str(path), data=chunks(*data)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            content = os.urandom(3 << 20)
            path = tmp_path / "a" / "b" / "c.bin"
            await write(provider, sid, path, content, b"", b"end")
            assert path.read_bytes() == content + b"end"
            assert await read(provider, sid, path) == content + b"end"
            assert await read(provider, sid, path, offset=5, length=7) == content[5:12]
            await write(provider, sid, path)
            assert await read(provider, sid, path) == b""

    asyncio.run(main())


def test_operations_and_their_errors(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):

            def at(name: str) -> PathRequest:
                return PathRequest(sandbox_id=sid, path=str(tmp_path / name))

            await provider.mkdir(MkdirRequest(sandbox_id=sid, path=str(tmp_path / "d/e")))
            await write(provider, sid, tmp_path / "d/f", b"12345")
            (tmp_path / "d/link").symlink_to("f")
            found = await provider.stat(at("d/f"))
            assert (found.type, found.size, found.mode) == ("file", 5, 0o644)
            assert abs(found.modified_at - datetime.now(UTC)) < timedelta(seconds=60)
            link = await provider.stat(at("d/link"))
            assert (link.type, link.target) == ("symlink", "f")
            request = ListFilesRequest(sandbox_id=sid, path=str(tmp_path), depth=2)
            names = [entry.path for entry in await provider.list_files(request)]
            assert names == [str(tmp_path / name) for name in ("d", "d/e", "d/f", "d/link")]

            rename = RenameRequest(
                sandbox_id=sid, path=str(tmp_path / "d/f"), target=str(tmp_path / "g")
            )
            await provider.rename(rename)
            with pytest.raises(PathNotFoundError) as caught:
                await provider.rename(rename)
            assert isinstance(caught.value, FileNotFoundError)
            assert caught.value.path == str(tmp_path / "d/f")
            assert caught.value.sandbox_id == sid
            with pytest.raises(PathIsDirectoryError):
                await read(provider, sid, tmp_path)
            with pytest.raises(PathNotDirectoryError):
                await provider.stat(at("g/h"))
            mkdir = MkdirRequest(sandbox_id=sid, path=str(tmp_path / "d"), parents=False)
            with pytest.raises(PathExistsError):
                await provider.mkdir(mkdir)
            with pytest.raises(FileError):
                await provider.remove(RemoveRequest(sandbox_id=sid, path=str(tmp_path / "d")))
            await provider.remove(
                RemoveRequest(sandbox_id=sid, path=str(tmp_path / "d"), recursive=True)
            )
            assert not (tmp_path / "d").exists()
            by_nobody = PathRequest(sandbox_id=sid, path="/", user="nobody-of-this-name")
            with pytest.raises(InvalidRequestError):
                await provider.stat(by_nobody)

    asyncio.run(main())


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    class SourceError(Exception):
        pass

    async def failing() -> AsyncIterator[bytes]:
        yield bytes(1 << 20)
        raise SourceError

    async def main() -> None:
        async with sandbox() as (provider, sid):
            path = tmp_path / "file"
            path.write_bytes(b"old")
            with pytest.raises(SourceError):
                await provider.write_file(
                    WriteFileRequest(sandbox_id=sid, path=str(path), data=failing())
                )
            await provider.stat(PathRequest(sandbox_id=sid, path=str(path)))
            assert path.read_bytes() == b"old"
            assert os.listdir(tmp_path) == ["file"]
            assert provider.dials == 1

            async def forever() -> AsyncIterator[bytes]:
                while True:
                    yield bytes(1 << 20)

            bad = WriteFileRequest(sandbox_id=sid, path=str(path / "below"), data=forever())
            with pytest.raises(PathNotDirectoryError):
                await provider.write_file(bad)

    asyncio.run(main())


def test_a_read_that_is_given_up_leaves_the_connection_usable(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            path = tmp_path / "big"
            path.write_bytes(bytes(16 << 20))
            request = ReadFileRequest(sandbox_id=sid, path=str(path))
            for _ in range(20):
                async with aclosing(provider.read_file(request)) as reading:  # type: ignore[type-var]
                    async for _chunk in reading:
                        break
            assert len(await read(provider, sid, path)) == 16 << 20
            assert provider.dials == 1

    asyncio.run(main())


def test_a_cut_is_told_and_not_mended(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            path = tmp_path / "big"
            path.write_bytes(bytes(16 << 20))

            async def read_and_cut() -> None:
                async for _ in provider.read_file(ReadFileRequest(sandbox_id=sid, path=str(path))):
                    provider.cut()

            with pytest.raises(TransportError) as caught:
                await read_and_cut()
            assert caught.value.outcome == "unknown"
            assert caught.value.op == "read_file"

            async def cutting() -> AsyncIterator[bytes]:
                yield b"new"
                provider.cut()
                yield b"newer"

            with pytest.raises(TransportError):
                await provider.write_file(
                    WriteFileRequest(sandbox_id=sid, path=str(path), data=cutting())
                )
            assert path.stat().st_size == 16 << 20

            async def dying() -> AsyncIterator[bytes]:
                yield b"new"
                await provider.die(sid, "oom")
                yield bytes(1 << 20)

            with pytest.raises(SandboxNotFoundError) as gone:
                await provider.write_file(
                    WriteFileRequest(sandbox_id=sid, path=str(path), data=dying())
                )
            assert (gone.value.cause, gone.value.outcome) == ("oom", "unknown")

    asyncio.run(main())


def test_the_guest_says_how_its_sandbox_is() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            info = await provider.connect(SandboxRequest(sandbox_id=sid))
            assert info.workdir == str(provider.machines[sid].directory)
            assert info.shell == "bash -c"

    asyncio.run(main())


def test_lifetime_ends_the_sandbox() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            info = await provider.set_lifetime(LifetimeRequest(sandbox_id=sid, lifetime=60))
            assert info.expires_at is not None
            left = info.expires_at - datetime.now(UTC)
            assert timedelta(seconds=50) < left < timedelta(seconds=61)
            info = await provider.set_lifetime(LifetimeRequest(sandbox_id=sid, lifetime=None))
            assert info.expires_at is None
            await provider.set_lifetime(LifetimeRequest(sandbox_id=sid, lifetime=0.2))
            async with asyncio.timeout(5):
                await provider.machines[sid].agent.wait()

    asyncio.run(main())


def test_arguments_too_large_for_a_frame_are_refused_before_they_are_sent() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            with pytest.raises(InvalidRequestError) as caught:
                await provider.start(StartRequest(sandbox_id=sid, command=":" * (2 << 20)))
            assert caught.value.outcome == "not_started"
            await provider.stat(PathRequest(sandbox_id=sid, path="/"))
            assert provider.dials == 1

    asyncio.run(main())
