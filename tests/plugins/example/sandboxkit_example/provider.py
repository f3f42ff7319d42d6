"""Test only: sandboxes that are temporary directories. NOTHING IS ISOLATED HERE."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sandboxkit import provider as spi
from sandboxkit.errors import SandboxNotFoundError, file_error
from sandboxkit.models import OutputChunk, SandboxInfo

from . import CAPABILITIES

LIVE: dict[str, SandboxInfo] = {}
PIPE, DEVNULL = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL


class ExampleProcess(spi.ProcessStream):
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.pid = process, process.pid
        self.queue: asyncio.Queue[spi.ProcessEvent] = asyncio.Queue()
        self.task = asyncio.create_task(self.follow())

    async def follow(self) -> None:
        await asyncio.gather(self.copy("stdout"), self.copy("stderr"))
        code = await self.process.wait()
        await self.queue.put(spi.Exited(code) if code >= 0 else spi.Exited(None, signal=-code))
        await self.queue.put(spi.Closed())

    async def copy(self, name: str) -> None:
        offset = 0
        while data := await getattr(self.process, name).read(65536):
            await self.queue.put(OutputChunk(name, data, offset))
            offset += len(data)

    async def events(self) -> AsyncIterator[spi.ProcessEvent]:
        while not isinstance(event := await self.queue.get(), spi.Closed):
            yield event
        yield event

    async def send_stdin(self, data: bytes) -> None:
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        self.process.stdin.close()

    async def signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    async def terminate(self, grace: float = spi.KILL_GRACE) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.task

    async def detach(self) -> None:
        """The queue takes what is still to come."""


class ExampleProvider(spi.Provider):
    name = "example"
    capabilities = CAPABILITIES

    def root(self, sandbox_id: str, path: str = "/") -> Path:
        if sandbox_id not in LIVE:
            raise SandboxNotFoundError(f"there is no sandbox {sandbox_id!r}")
        return Path(tempfile.gettempdir(), f"example-{sandbox_id}", path.lstrip("/"))

    async def create(self, request: spi.CreateRequest) -> SandboxInfo:
        name, now = request.nonce[:12], datetime.now(UTC)
        LIVE[name] = SandboxInfo(id=name, provider="example", created_at=now, labels=request.labels)
        self.root(name, "/home/user").mkdir(parents=True)
        return LIVE[name]

    async def connect(self, request: spi.SandboxRequest) -> SandboxInfo:
        self.root(request.sandbox_id)
        return LIVE[request.sandbox_id]

    async def list(self, request: spi.ListRequest) -> AsyncIterator[SandboxInfo]:
        for info in [*LIVE.values()]:
            if request.labels.items() <= dict(info.labels).items():
                yield info

    async def kill(self, request: spi.KillRequest) -> bool:
        with suppress(SandboxNotFoundError):
            shutil.rmtree(self.root(request.sandbox_id))
        return LIVE.pop(request.sandbox_id, None) is not None

    async def start(self, request: spi.StartRequest) -> spi.ProcessStream:
        words = request.command
        words = ("bash", "-c", words) if isinstance(words, str) else words
        folder = self.root(request.sandbox_id, request.cwd or "/home/user")
        options = {"stdin": PIPE if request.stdin else DEVNULL, "start_new_session": True}
        options |= {"stdout": PIPE, "stderr": PIPE, "env": {**os.environ, **request.env}}
        return ExampleProcess(await asyncio.create_subprocess_exec(*words, cwd=folder, **options))

    async def read_file(self, request: spi.ReadFileRequest) -> AsyncIterator[bytes]:
        try:
            yield self.root(request.sandbox_id, request.path).read_bytes()[request.offset :]
        except OSError as error:
            raise file_error(error.errno or 5, request.path, str(error)) from None

    async def write_file(self, request: spi.WriteFileRequest) -> None:
        path = self.root(request.sandbox_id, request.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join([piece async for piece in request.data]))
