"""A provider whose sandboxes are mere directories, each with a real guest: for tests alone."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sandboxkit.capabilities import Capabilities
from sandboxkit.errors import Cause, SandboxNotFoundError
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest, KillRequest, ListRequest, ProviderSettings

P = TypeVar("P", bound=asyncio.BaseProtocol)
ROOT = Path(__file__).parents[2]


@dataclass
class Machine:
    info: SandboxInfo
    directory: Path
    agent: asyncio.subprocess.Process
    control: socket.socket


class UnsandboxedGuestProvider(GuestProvider):
    name = "unsandboxed"
    capabilities = Capabilities(
        isolation="none",
        attach=True,
        terminals=True,
        code=True,
        file_ops=True,
        trees=True,
        watch=True,
        lifetime_update=True,
        ports=True,
        languages=frozenset({"python"}),
    )

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self.machines: dict[str, Machine] = {}
        self.causes: dict[str, Cause] = {}
        self.transports: list[asyncio.Transport] = []
        self.dials = 0

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        directory = Path(tempfile.mkdtemp(prefix="guest-"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sandboxkit.guest.agent"),
                *("--listen", str(directory / "guest.sock")),
                *("--control-fd", str(theirs.fileno()), "--workdir", str(directory)),
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_recv(ours, 65536)  # it is ready
        info = SandboxInfo(id=uuid.uuid4().hex, provider=self.name, created_at=datetime.now(UTC))
        self.machines[info.id] = Machine(info, directory, agent, ours)
        return info

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        self.dials += 1
        machine = await self._machine(sandbox_id)
        loop = asyncio.get_running_loop()
        path = str(machine.directory / "guest.sock")
        transport, protocol = await loop.create_unix_connection(factory, path)
        self.transports.append(transport)
        return transport, protocol

    async def destroy(self, sandbox_id: str) -> bool:
        machine = self.machines.pop(sandbox_id, None)
        if machine is None:
            return False
        self.causes[sandbox_id] = "killed"
        machine.control.close()
        await machine.agent.wait()
        shutil.rmtree(machine.directory)
        return True

    async def find(self, sandbox_id: str) -> SandboxInfo:
        return (await self._machine(sandbox_id)).info

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        for machine in self.machines.values():
            yield machine.info

    async def _machine(self, sandbox_id: str) -> Machine:
        machine = self.machines.get(sandbox_id)
        if machine is None:
            cause = self.causes.get(sandbox_id)
            raise SandboxNotFoundError(f"no sandbox {sandbox_id}", cause=cause)
        return machine

    # -- what goes wrong ----------------------------------------------------------------------

    def cut(self) -> bool:
        """Break every connection as a network would, with what is on its way; was there one?"""
        transports, self.transports = self.transports, []
        for transport in transports:
            transport.abort()
        return bool(transports)

    async def die(self, sandbox_id: str, cause: Cause) -> None:
        """The sandbox ends by itself."""
        machine = self.machines.pop(sandbox_id)
        self.causes[sandbox_id] = cause
        machine.agent.send_signal(signal.SIGKILL)
        await machine.agent.wait()
        machine.control.close()
        shutil.rmtree(machine.directory)


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[UnsandboxedGuestProvider, str]]:
    """A provider and the id of a sandbox of it."""
    provider = UnsandboxedGuestProvider(ProviderSettings())
    try:
        info = await provider.create(CreateRequest(nonce="n"))
        yield provider, info.id
    finally:
        for sandbox_id in [*provider.machines]:
            await provider.kill(KillRequest(sandbox_id=sandbox_id))
        await provider.aclose()
