"""What the core adds to every provider: retries, ownership, emulation, where errors happened."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.capabilities import Capabilities
from sandboxkit.errors import (
    ConfigError,
    CreateTimeoutError,
    FileError,
    RateLimitError,
    SandboxError,
    TransportError,
)
from sandboxkit.layers.emulation import EmulatedFiles
from sandboxkit.layers.errors import LocatedErrors
from sandboxkit.layers.narrowed import Narrowed
from sandboxkit.layers.ownership import OwnershipLayer
from sandboxkit.layers.retry import RetryLayer
from sandboxkit.models import OutputChunk, SandboxInfo
from sandboxkit.provider import (
    Closed,
    CreateRequest,
    Exited,
    KillRequest,
    ListFilesRequest,
    ListRequest,
    MkdirRequest,
    PathRequest,
    ProcessEvent,
    ProcessStream,
    Provider,
    RemoveRequest,
    RenameRequest,
    StartRequest,
)
from sandboxkit.testing import MemoryProvider
from sandboxkit.testing.memory import MemorySettings


class Faulty(MemoryProvider):
    """Raises the given errors first; after the sandbox was made where `late` says so."""

    def __init__(self, *errors: SandboxError, late: bool = False) -> None:
        super().__init__(MemorySettings(world=uuid4().hex))
        self.errors = list(errors)
        self.late = late
        self.calls = 0

    async def create(self, request: CreateRequest) -> SandboxInfo:
        self.calls += 1
        if self.errors and not self.late:
            raise self.errors.pop(0)
        info = await super().create(request)
        if self.errors:
            raise self.errors.pop(0)
        return info


async def listed(provider: Provider) -> list[SandboxInfo]:
    return [info async for info in provider.list(ListRequest())]


def refused(**more: object) -> TransportError:
    return TransportError("refused", outcome="not_started", retryable=True, **more)


def test_what_was_not_dispatched_is_tried_again() -> None:
    provider = Faulty(refused(), refused())
    asyncio.run(RetryLayer(provider).create(CreateRequest(nonce="n")))
    assert provider.calls == 3


def test_what_may_have_happened_stays_so_whatever_comes_after() -> None:
    lost = TransportError("lost", outcome="unknown", retryable=True)
    provider = Faulty(lost, *(refused() for _ in range(5)))
    with pytest.raises(TransportError, match="refused") as caught:
        asyncio.run(RetryLayer(provider).create(CreateRequest(nonce="n")))
    assert caught.value.outcome == "unknown"


def test_a_profile_declares_less() -> None:
    async def main() -> None:
        provider = Narrowed(MemoryProvider(MemorySettings(world=uuid4().hex)), {"pause"})
        for found in (provider.capabilities, await provider.survey()):
            assert not found.pause
            assert found.snapshots
        with pytest.raises(ConfigError, match="no-such"):
            Narrowed(provider, {"no-such"})

    asyncio.run(main())


def test_retries_end_and_raise_the_last_error() -> None:
    provider = Faulty(*[refused() for _ in range(9)])
    with pytest.raises(TransportError):
        asyncio.run(RetryLayer(provider).create(CreateRequest(nonce="n")))
    assert provider.calls == 4


def test_what_cannot_help_is_not_tried_again() -> None:
    for error in (
        TransportError("x", outcome="not_started"),
        TransportError("x", outcome="not_started", retryable=False),
        RateLimitError("x", outcome="not_started", retryable=True, retry_after=3600),
    ):
        provider = Faulty(error)
        with pytest.raises(SandboxError):
            asyncio.run(RetryLayer(provider).create(CreateRequest(nonce="n")))
        assert provider.calls == 1


def test_retry_after_is_honoured() -> None:
    error = RateLimitError("later", outcome="not_started", retryable=True, retry_after=0.4)
    began = time.monotonic()
    asyncio.run(RetryLayer(Faulty(error)).create(CreateRequest(nonce="n")))
    assert time.monotonic() - began >= 0.4


def test_a_lost_answer_makes_no_second_sandbox() -> None:
    provider = Faulty(TransportError("lost", retryable=True), late=True)

    async def main() -> None:
        layers = OwnershipLayer(RetryLayer(provider))
        info = await layers.create(CreateRequest(nonce="n"))
        assert [one.id for one in await listed(provider)] == [info.id]

    asyncio.run(main())
    assert provider.calls == 2


def test_a_create_that_fails_late_leaves_nothing() -> None:
    provider = Faulty(TransportError("lost"), late=True)

    async def main() -> None:
        with pytest.raises(TransportError):
            await OwnershipLayer(provider).create(CreateRequest(nonce="n"))
        assert await listed(provider) == []

    asyncio.run(main())


def test_create_timeout_and_cancel_leave_nothing() -> None:
    class Slow(MemoryProvider):
        async def create(self, request: CreateRequest) -> SandboxInfo:
            info = await super().create(request)
            await asyncio.sleep(60)
            return info

    async def main() -> None:
        provider = Slow(MemorySettings(world="slow"))
        layer = OwnershipLayer(provider)
        with pytest.raises(CreateTimeoutError) as caught:
            await layer.create(CreateRequest(nonce="n", create_timeout=0.1))
        assert isinstance(caught.value, TimeoutError)
        assert await listed(provider) == []
        task = asyncio.create_task(layer.create(CreateRequest(nonce="m")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await listed(provider) == []

    asyncio.run(main())


class Distant(MemoryProvider):
    """Goes on with what it was asked for when its caller has given up, as a server does."""

    def __init__(self, ready: asyncio.Event) -> None:
        super().__init__(MemorySettings(world=uuid4().hex))
        self.ready = ready
        self.closed = False
        self.gone = asyncio.Event()

    async def create(self, request: CreateRequest) -> SandboxInfo:
        self.serving = asyncio.ensure_future(self._serve(request))
        return await asyncio.shield(self.serving)

    async def _serve(self, request: CreateRequest) -> SandboxInfo:
        await self.ready.wait()
        return await super().create(request)

    async def kill(self, request: KillRequest) -> bool:
        assert not self.closed
        there = await super().kill(request)
        self.gone.set()
        return there

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_what_is_made_after_its_maker_gave_up_is_killed(how: str) -> None:
    async def main() -> None:
        provider = Distant(asyncio.Event())
        layer = OwnershipLayer(provider)
        task = asyncio.create_task(
            layer.create(CreateRequest(nonce="n", create_timeout=0.1 if how == "timeout" else 60))
        )
        await asyncio.wait({task}, timeout=0.05)
        began = time.monotonic()
        if how == "cancel":
            task.cancel()
        done, _ = await asyncio.wait({task}, timeout=10)
        assert done
        assert time.monotonic() - began < 3
        if how == "timeout":
            error = task.exception()
            assert isinstance(error, CreateTimeoutError)
            assert error.outcome == "unknown"
        await layer.aclose()
        assert not provider.closed
        provider.ready.set()
        await asyncio.wait_for(provider.gone.wait(), 10)
        assert await listed(provider) == []

    asyncio.run(main())


def test_what_is_made_soon_is_killed_before_the_loop_ends() -> None:
    async def main() -> Distant:
        provider = Distant(asyncio.Event())
        asyncio.get_running_loop().call_later(0.2, provider.ready.set)
        layer = OwnershipLayer(provider)
        with pytest.raises(CreateTimeoutError) as caught:
            await layer.create(CreateRequest(nonce="n", create_timeout=0.1))
        assert caught.value.outcome == "not_started"
        assert await listed(provider) == []
        return provider

    assert asyncio.run(main()).serving.done()


def test_errors_say_where_they_happened() -> None:
    layer = LocatedErrors(MemoryProvider())

    async def main() -> None:
        with pytest.raises(SandboxError) as caught:
            await layer.stat(PathRequest(sandbox_id="none", path="/x"))
        assert caught.value.op == "stat"
        assert caught.value.provider == "memory"
        assert caught.value.sandbox_id == "none"
        assert await layer.kill(KillRequest(sandbox_id="none")) is False

    asyncio.run(main())


class _Ran(ProcessStream):
    """A command that has run on this machine; only for what is emulated by commands."""

    pid = 1

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.done = done

    async def events(self) -> AsyncIterator[ProcessEvent]:
        yield OutputChunk("stdout", self.done.stdout, 0)
        yield OutputChunk("stderr", self.done.stderr, 0)
        yield Exited(self.done.returncode)
        yield Closed()

    async def send_stdin(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def signal(self, signum: int) -> None: ...
    async def terminate(self, grace: float = 0.5) -> None: ...
    async def detach(self) -> None: ...


class CommandsOnly(MemoryProvider):
    """Has real commands (run here, on a temporary directory) and no file operations."""

    capabilities = Capabilities(isolation="none", lifetime_update=True, snapshots=True)
    stat = Provider.stat
    list_files = Provider.list_files
    mkdir = Provider.mkdir
    remove = Provider.remove
    rename = Provider.rename
    pause = Provider.pause
    resume = Provider.resume

    async def start(self, request: StartRequest) -> ProcessStream:
        assert not isinstance(request.command, str)
        return _Ran(
            await asyncio.to_thread(
                subprocess.run,
                request.command,
                capture_output=True,
                env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"},
            )
        )


def test_file_operations_made_of_commands(tmp_path: Path) -> None:
    layer = EmulatedFiles(CommandsOnly())
    assert layer.emulated == {"file_ops"}
    assert layer.capabilities.file_ops
    root = str(tmp_path)

    def at(name: str) -> dict[str, str]:
        return {"sandbox_id": "s", "path": f"{root}/{name}"}

    async def main() -> None:
        await layer.mkdir(MkdirRequest(**at("a b/c"), mode=0o750))
        assert (tmp_path / "a b/c").stat().st_mode & 0o777 == 0o750
        (tmp_path / "a b/-n\nx ü").write_text("12345")
        (tmp_path / "a b/link").symlink_to("c")
        info = await layer.stat(PathRequest(**at("a b/-n\nx ü")))
        assert (info.type, info.size) == ("file", 5)
        link = await layer.stat(PathRequest(**at("a b/link")))
        assert (link.type, link.target) == ("symlink", "c")
        await layer.rename(RenameRequest(**at("a b/-n\nx ü"), target=f"{root}/a b/c/y"))
        entries = await layer.list_files(ListFilesRequest(**at("a b"), depth=2))
        assert [(one.path.removeprefix(root), one.type) for one in entries] == [
            ("/a b/c", "directory"),
            ("/a b/c/y", "file"),
            ("/a b/link", "symlink"),
        ]
        for attempt, kind in (
            (layer.remove(RemoveRequest(**at("a b"))), OSError),
            (layer.remove(RemoveRequest(**at("none"))), FileNotFoundError),
            (layer.remove(RemoveRequest(**at("none"), recursive=True)), FileNotFoundError),
            (layer.stat(PathRequest(**at("none"))), FileNotFoundError),
            (layer.list_files(ListFilesRequest(**at("a b/c/y"))), NotADirectoryError),
            (layer.list_files(ListFilesRequest(**at("none"))), FileNotFoundError),
            (layer.mkdir(MkdirRequest(**at("a b"), parents=False)), FileExistsError),
            (layer.rename(RenameRequest(**at("none"), target=f"{root}/x")), FileNotFoundError),
        ):
            with pytest.raises(kind) as caught:
                await attempt
            assert isinstance(caught.value, FileError)
        await layer.remove(RemoveRequest(**at("a b"), recursive=True))
        assert list(tmp_path.iterdir()) == []

    asyncio.run(main())
