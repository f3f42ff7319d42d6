"""A blocking harness around the provider, for tests."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from sandboxkit.models import OutputChunk, SandboxInfo
from sandboxkit.provider import (
    CreateRequest,
    Exited,
    KillRequest,
    ListRequest,
    SandboxRequest,
    StartRequest,
    WriteFileRequest,
)
from sandboxkit_local import paths, start, wire
from sandboxkit_local.jail import idmap
from sandboxkit_local.provider import LocalProvider

T = TypeVar("T")

KIND = idmap.choose().kind
"""How this user's sandboxes get their ids: root, subordinate or single."""


@dataclass
class Ran:
    """How a command ended, and what it wrote."""

    code: int | None
    stdout: str = ""
    stderr: str = ""


@dataclass
class Harness:
    """The provider, one call at a time.

    Attributes:
        paths: of the daemon.
    """

    paths: paths.Paths
    runner: asyncio.Runner
    provider: LocalProvider
    made: list[str] = field(default_factory=list)

    def do(self, awaitable: Awaitable[T]) -> T:
        async def main() -> T:
            return await awaitable

        return self.runner.run(main())

    def create(self, **changes: Any) -> SandboxInfo:
        changes = {"nonce": uuid4().hex, "lifetime": 300.0} | changes
        info = self.do(self.provider.create(CreateRequest(**changes)))
        self.made.append(info.id)
        return info

    def kill(self, sandbox_id: str) -> bool:
        return self.do(self.provider.kill(KillRequest(sandbox_id=sandbox_id)))

    def connect(self, sandbox_id: str) -> SandboxInfo:
        return self.do(self.provider.connect(SandboxRequest(sandbox_id=sandbox_id)))

    def list(self, **filters: Any) -> list[SandboxInfo]:
        async def main() -> list[SandboxInfo]:
            return [info async for info in self.provider.list(ListRequest(**filters))]

        return self.runner.run(main())

    def run(self, sandbox_id: str, command: str | tuple[str, ...], **options: Any) -> Ran:
        return self.do(run(self.provider, sandbox_id, command, **options))

    def sh(self, sandbox_id: str, command: str, **options: Any) -> str:
        """Standard output of a command that must succeed."""
        ran = self.run(sandbox_id, command, **options)
        assert ran.code == 0, ran
        return ran.stdout

    def write(self, sandbox_id: str, path: str, content: bytes, **options: Any) -> None:
        async def chunks() -> Any:
            yield content

        request = WriteFileRequest(sandbox_id=sandbox_id, path=path, data=chunks(), **options)
        self.do(self.provider.write_file(request))

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """A request straight to the daemon."""
        return self.do(self.provider._daemon.ask(do, **fields))[0]

    def daemon_pid(self) -> int:
        return int(self.ask("ping")["pid"])

    def order(self, **changes: Any) -> dict[str, Any]:
        """A create request as the daemon gets it."""
        request = CreateRequest(**({"nonce": uuid4().hex, "lifetime": 300.0} | changes))
        return {"id": 1, "do": "create", **self.provider._order(request)}


async def run(
    provider: LocalProvider, sandbox_id: str, command: str | tuple[str, ...], **options: Any
) -> Ran:
    request = StartRequest(sandbox_id=sandbox_id, command=command, **options)
    stream = await provider.start(request)
    ran = Ran(None)
    collected = {"stdout": b"", "stderr": b""}
    async for event in stream.events():
        if isinstance(event, OutputChunk):
            collected[event.stream] += event.data
        elif isinstance(event, Exited):
            ran.code = event.code if event.code is not None else -(event.signal or 0)
    ran.stdout, ran.stderr = (collected[name].decode() for name in ("stdout", "stderr"))
    return ran


def stop_daemon(where: paths.Paths) -> None:
    """Let the daemon end, and wait until it has."""
    try:
        sock = start.connect(where, start=False)
    except RuntimeError:
        return
    with sock:
        wire.send(sock, {"id": 1, "do": "ping"})
        answer = wire.receive(sock)
        assert answer is not None
        pidfd = os.pidfd_open(answer[0]["result"]["pid"])
        wire.send(sock, {"id": 2, "do": "shutdown"})
        assert select.select([pidfd], [], [], 10)[0], "the daemon did not end"
        os.close(pidfd)


def eventually(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something outside this process has happened."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
