"""Forks for providers that have snapshots: one is taken, restored several times and deleted."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from ..errors import SandboxError, UnsupportedError
from ..models import SandboxInfo
from ..provider import (
    CreateRequest,
    ForkRequest,
    KillRequest,
    Provider,
    SnapshotIdRequest,
    SnapshotRequest,
)
from .base import Layer

__all__ = ["EmulatedForks"]

AT_ONCE = 8
"""Sandboxes made at a time."""

REMEMBERED = 10_000
"""Requests that are kept, the newest ones."""

SNAPSHOT_LIFETIME = 3600.0
"""Seconds after which the temporary snapshot of a client that died goes by itself."""


class EmulatedForks(Layer):
    """Makes forks of the sandboxes that were created through it.

    A fork has the environment, the limits and the network of its source, which only who created
    it knows; so another's sandbox is not forked, rather than forked with fewer bounds.
    """

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, fork=True)
        self.emulated = self.emulated | {"fork"}
        self._requests: OrderedDict[str, CreateRequest] = OrderedDict()

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Create, and remember how."""
        info = await self.inner.create(request)
        self._requests[info.id] = request
        while len(self._requests) > REMEMBERED:
            self._requests.popitem(last=False)
        return info

    async def kill(self, request: KillRequest) -> bool:
        """Kill, and forget."""
        self._requests.pop(request.sandbox_id, None)
        return await self.inner.kill(request)

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        """Fork, all or none; the temporary snapshot is deleted in any case."""
        original = self._requests.get(request.sandbox_id)
        if original is None:
            raise UnsupportedError(
                f"provider {self.name!r} forks only what this process has created, since only that"
                " knows its environment and limits; take a snapshot() and create(snapshot=...)",
                capability="fork",
                provider=self.name,
            )
        snapshot = await self.inner.snapshot(
            SnapshotRequest(
                sandbox_id=request.sandbox_id,
                lifetime=SNAPSHOT_LIFETIME,
                labels=dict(request.labels),
            )
        )
        try:
            return await self._restore(replace(original, snapshot=snapshot.id), request)
        finally:
            deleting = self.inner.delete_snapshot(SnapshotIdRequest(snapshot_id=snapshot.id))
            await _outlast(_quietly(deleting))

    async def _restore(self, original: CreateRequest, request: ForkRequest) -> list[SandboxInfo]:
        room = asyncio.Semaphore(AT_ONCE)
        base = request.labels["nonce"]

        async def one(number: int) -> SandboxInfo:
            nonce = f"{base}-{number}"
            async with room:
                return await self.create(
                    replace(
                        original,
                        nonce=nonce,
                        template=None,
                        image=None,
                        lifetime=request.lifetime,
                        labels={**request.labels, "nonce": nonce},
                    )
                )

        tasks = [asyncio.create_task(one(number)) for number in range(request.count)]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await _outlast(self._end(tasks))
            raise

    async def _end(self, tasks: list[asyncio.Task[SandboxInfo]]) -> None:
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                await _quietly(self.kill(KillRequest(sandbox_id=task.result().id)))


async def _quietly(cleaning: Coroutine[Any, Any, bool]) -> None:
    try:
        await cleaning
    except SandboxError:
        return  # its lifetime ends it; the first error is the one to hear of


async def _outlast(cleaning: Coroutine[Any, Any, None]) -> None:
    """Clean up, though the caller is being cancelled."""
    task = asyncio.ensure_future(cleaning)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue  # the first cancel is already being honoured
