"""How a guest is reached: over its socket where this machine sees it, else through the engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from aiodocker.stream import Stream

from sandboxkit.errors import SandboxPausedError

from . import places, records, run_directory
from .engine import Engine
from .errors import Absent, Conflict
from .stream_transport import StreamTransport

__all__ = ["Reach"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_DYING = 10.0  # seconds that an engine may take to clear away a container whose program ended


class Reach:
    """The ways to the guests of one engine.

    Args:
        engine: whose.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fresh: dict[str, str] = {}

    def directory(self, nonce: str) -> str | None:
        """A directory for a new container's socket; ``None`` where the engine cannot see ours."""
        return run_directory.make(records.token(nonce)) if self._engine.is_local else None

    @staticmethod
    def drop(directory: str | None) -> None:
        """Remove a directory whose container came to nothing."""
        if directory is not None:
            run_directory.remove(directory)

    async def probe(self, sandbox_id: str) -> None:
        """Wait for the end of a container whose guest does not answer any more.

        Raises:
            Absent: there is no such container, or no longer.
        """
        with contextlib.suppress(SandboxPausedError):
            directory = await self._directory(sandbox_id)
            if directory:
                try:
                    opened = asyncio.open_unix_connection(run_directory.socket_in(directory))
                    (await opened)[1].close()
                except ConnectionRefusedError:
                    await self._outlive(sandbox_id)
                except OSError:
                    return

    def begun(self, sandbox_id: str, directory: str | None) -> None:
        """A container was made just now, so nobody need be asked for the way to it."""
        self._fresh[sandbox_id] = directory or ""

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Connect a protocol to a guest.

        Raises:
            Absent: there is no such container.
            SandboxPausedError: it would not answer.
            OSError: it cannot be reached.
        """
        directory = self._fresh.pop(sandbox_id, None)
        if directory is None:
            directory = await self._directory(sandbox_id)
        if directory:
            loop = asyncio.get_running_loop()
            try:
                return await loop.create_unix_connection(
                    factory, run_directory.socket_in(directory)
                )
            except ConnectionRefusedError:
                await self._outlive(sandbox_id)  # the guest has ended, and with it all
            except OSError:
                pass  # another machine's or another user's; the engine knows the way
        stream = await self._attach(sandbox_id)
        protocol = factory()
        assert isinstance(protocol, asyncio.Protocol)
        return StreamTransport(stream, protocol), protocol

    async def _directory(self, sandbox_id: str) -> str:
        """The directory that a container was made with, or nothing."""
        shown = await self._engine.inspect(sandbox_id)
        if shown["State"].get("Paused"):
            raise SandboxPausedError.of(f"docker:{sandbox_id}", sandbox_id=sandbox_id)
        record = records.record_of(shown["Config"].get("Labels") or {})
        return str(record.get("run", ""))

    async def _attach(self, sandbox_id: str) -> Stream:
        try:
            return await self._engine.exec_stream(sandbox_id, places.RELAY)
        except Conflict as error:
            if "paused" in error.message:
                address = f"docker:{sandbox_id}"
                raise SandboxPausedError.of(address, sandbox_id=sandbox_id) from None
            await self._outlive(sandbox_id)
            raise

    async def _outlive(self, sandbox_id: str) -> None:
        """Wait for the end of a container whose guest has ended; it removes itself.

        Raises:
            Absent: it is gone.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DYING):
                await self._engine.wait_removed(sandbox_id)
                raise Absent(f"container {sandbox_id} is gone")
