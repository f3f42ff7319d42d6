"""Providers that look faster than they are, or better, each by one lie: the suite must see it.

All are made from the local provider, which really runs what it is asked.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

from sandboxkit.errors import ProviderUnavailableError
from sandboxkit.models import OutputChunk, SandboxInfo
from sandboxkit.plugins import GROUP, ProviderInfo, hookimpl
from sandboxkit.provider import (
    Closed,
    CodeStream,
    CreateRequest,
    Exited,
    KillRequest,
    ProcessEvent,
    ProcessStream,
    RunCodeRequest,
    StartRequest,
)
from tests.conformance.broken.local import Local

LATER = 0.3
"""Seconds that a lie or a stall takes."""


class Honest(Local):
    """Does as it says."""

    name = "honest"


class Early(Local):
    """Returns from `create` before there is a sandbox; whatever is asked first waits."""

    name = "early"

    async def start(self, request: StartRequest) -> ProcessStream:
        await self._awake(request.sandbox_id)
        return await super().start(request)

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        await self._awake(request.sandbox_id)
        return await super().run_code(request)

    async def _awake(self, sandbox: str) -> None:
        awake = self.__dict__.setdefault("_woken", set())
        if sandbox not in awake:
            awake.add(sandbox)
            await asyncio.sleep(LATER)


class Told(ProcessStream):
    """A process that never ran."""

    def __init__(self, output: bytes) -> None:
        self.pid, self._output = 4711, output

    async def events(self) -> AsyncIterator[ProcessEvent]:
        yield OutputChunk("stdout", self._output, 0)
        yield Exited(0)
        yield Closed()

    async def send_stdin(self, data: bytes) -> None:
        raise AssertionError("nothing here reads")

    async def close_stdin(self) -> None:
        pass

    async def signal(self, signum: int) -> None:
        pass

    async def terminate(self, grace: float = 0.5) -> None:
        pass

    async def detach(self) -> None:
        pass


class Remembering(ProcessStream):
    """A process that runs, and whose output is kept."""

    def __init__(self, inner: ProcessStream, kept: dict[str, bytes], key: str) -> None:
        self.pid, self._inner, self._kept, self._key = inner.pid, inner, kept, key

    async def events(self) -> AsyncIterator[ProcessEvent]:
        output = b""
        async for event in self._inner.events():
            if isinstance(event, OutputChunk):
                output += event.data
            elif isinstance(event, Exited):
                self._kept[self._key] = output  # now: nobody reads on after the last event
            yield event

    async def send_stdin(self, data: bytes) -> None:
        await self._inner.send_stdin(data)

    async def close_stdin(self) -> None:
        await self._inner.close_stdin()

    async def signal(self, signum: int) -> None:
        await self._inner.signal(signum)

    async def terminate(self, grace: float = 0.5) -> None:
        await self._inner.terminate(grace)

    async def detach(self) -> None:
        await self._inner.detach()


class Caching(Local):
    """Answers a program of the same kind as it did before."""

    name = "caching"

    async def start(self, request: StartRequest) -> ProcessStream:
        kept = self.__dict__.setdefault("_kept", {})
        key = request.command[0]
        if key in kept:
            return Told(kept[key])
        return Remembering(await super().start(request), kept, key)


class Reusing(Local):
    """Cleans a sandbox instead of ending it, and hands it out as a new one."""

    name = "reusing"

    async def create(self, request: CreateRequest) -> SandboxInfo:
        used: list[SandboxInfo] = self.__dict__.setdefault("_used", [])
        return used.pop() if used else await super().create(request)

    async def kill(self, request: KillRequest) -> bool:
        info = await super().find(request.sandbox_id)
        cleaning = ["sh", "-c", "rm -rf /tmp/* /home/user/*"]
        stream = await self.start(StartRequest(sandbox_id=info.id, command=cleaning))
        async for _ in stream.events():
            pass
        self.__dict__.setdefault("_used", []).append(info)
        return True


class Dropping(Local):
    """One start in ten fails."""

    name = "dropping"

    async def create(self, request: CreateRequest) -> SandboxInfo:
        self._count = self.__dict__.get("_count", 0) + 1
        if self._count % 10 == 5:
            raise ProviderUnavailableError("no machine was free", provider=self.name)
        return await super().create(request)


class Pausing(Local):
    """One start in ten waits."""

    name = "pausing"

    async def create(self, request: CreateRequest) -> SandboxInfo:
        self._count = self.__dict__.get("_count", 0) + 1
        if self._count % 10 == 5:
            await asyncio.sleep(4 * LATER)
        return await super().create(request)


class Leaking(Local):
    """Says that a sandbox is gone, and lets it run."""

    name = "leaking"

    async def kill(self, request: KillRequest) -> bool:
        return True


class FromTheHost(Local):
    """Runs commands on this machine, where they are faster."""

    name = "from-the-host"

    async def start(self, request: StartRequest) -> ProcessStream:
        command = request.command
        words = ("sh", "-c", command) if isinstance(command, str) else command
        process = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        return Told((await process.communicate())[0])


class Elsewhere(Local):
    """Runs commands in one sandbox that stays, whichever is asked."""

    name = "elsewhere"

    async def start(self, request: StartRequest) -> ProcessStream:
        where = self.__dict__.setdefault("_where", request.sandbox_id)
        return await super().start(replace(request, sandbox_id=where))

    async def kill(self, request: KillRequest) -> bool:
        if request.sandbox_id == self.__dict__.get("_where"):
            return True
        return await super().kill(request)


class Twins(Local):
    """Begins the random numbers of every sandbox alike, as a fork that is not mended does."""

    name = "twins"

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        code = f"import random; random.seed(4)\n{request.code}"
        return await super().run_code(replace(request, code=code))


LIARS = {
    one.name: one
    for one in (
        Honest, Early, Caching, Reusing, Dropping, Pausing, Leaking, FromTheHost, Elsewhere, Twins,
    )
}  # fmt: skip


@hookimpl
def sandboxkit_providers() -> Iterator[ProviderInfo]:
    for name, provider in LIARS.items():
        yield ProviderInfo(
            name=name,
            summary=provider.__doc__ or "",
            capabilities=provider.capabilities,
            load=lambda provider=provider: provider,
        )


def register(directory: Path) -> None:
    """Write what an installed distribution of all of them would have, to be put on the path."""
    metadata = directory / "sandboxkit_liars-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sandboxkit-liars\nVersion: 1\n"
    )
    points = "".join(f"{name} = tests.benchmarks.liars\n" for name in LIARS)
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
