"""Sandboxes made, stopped, started again, paused, forked and ended."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from ...config import load_config
from ...errors import SandboxError, SandboxNotFoundError
from ...listing import delete_snapshot
from ...sandbox import AsyncSandbox
from ..fleet import Fleet, Live
from ..keys import Tenant
from ..state import SandboxRecord, SnapshotRecord
from .creating import Wanted, resources_of, template_of
from .faults import fault
from .machine import Machine
from .shapes import DEFAULT_SNAPSHOT

__all__ = ["Lifecycle"]

NEVER = 1.0
"""Seconds that a sandbox at the end of its time is given, where there must be some."""


class Lifecycle:
    """What happens to sandboxes as a whole.

    Args:
        fleet: the sandboxes.

    Attributes:
        memory: whether they can be paused with their memory; else stopping is all there is.
    """

    def __init__(self, fleet: Fleet[Machine]) -> None:
        self._fleet = fleet
        self.memory = False
        self._busy: dict[str, asyncio.Lock] = {}
        self._names: set[tuple[str, str]] = set()

    @contextlib.asynccontextmanager
    async def alone(self, record: SandboxRecord) -> AsyncIterator[None]:
        """Do one thing to a sandbox at a time.

        Raises:
            SandboxNotFoundError: what was done before has ended it.
        """
        async with self._busy.setdefault(record.id, asyncio.Lock()):
            if record.id not in self._fleet.state.sandboxes:
                raise SandboxNotFoundError(f"sandbox {record.id} has ended")
            yield

    # -- making -------------------------------------------------------------------------------

    async def create(self, wanted: Wanted, tenant: Tenant) -> Live[Machine]:
        """Make one.

        Raises:
            Refusal: its name is taken, or there is nothing to start from.
        """
        with self._named(wanted.name, tenant):
            origin = await asyncio.to_thread(self._origin, wanted, tenant)
            async with self._fleet.room(tenant):
                identifier = str(uuid.uuid4())
                sandbox = await self._make(origin, wanted.options, wanted.labels, identifier)
                record = SandboxRecord(
                    id=identifier,
                    tenant=tenant.name,
                    address=sandbox.address,
                    token=secrets.token_urlsafe(32),
                    traffic_token=secrets.token_urlsafe(24),
                    template=wanted.snapshot or wanted.image or DEFAULT_SNAPSHOT,
                    metadata=wanted.labels,
                    started_at=time.time(),
                    options=wanted.options,
                )
                return await self._add(record, sandbox)

    async def _add(self, record: SandboxRecord, sandbox: AsyncSandbox) -> Live[Machine]:
        live = await self._fleet.add(record, sandbox)
        record.options["shown_user"] = record.options.get("user") or live.info.user
        return live

    async def _make(
        self,
        origin: dict[str, Any],
        options: dict[str, Any],
        labels: dict[str, str],
        identifier: str,
        left: float | None = None,
    ) -> AsyncSandbox:
        ttl = options["ttl"] * 60 or None
        return await AsyncSandbox.create(
            self._fleet.profile,
            **origin,
            lifetime=left if left is not None else ttl,
            env={"DAYTONA_SANDBOX_ID": identifier, **options["env"]},
            metadata=labels,
            user=options["user"] or None,
            network=options["network"],
            resources=resources_of(options) or None,
        )

    @contextlib.contextmanager
    def _named(self, name: str, tenant: Tenant) -> Iterator[None]:
        """Hold a name while its sandbox is made."""
        key = (tenant.name, name)
        if name and (key in self._names or self.by_name(name, tenant.name) is not None):
            raise fault(409, f"Sandbox with name {name} already exists")
        self._names.add(key)
        try:
            yield
        finally:
            self._names.discard(key)

    def by_name(self, name: str, tenant: str) -> SandboxRecord | None:
        """A tenant's sandbox, by id or name."""
        found = self._fleet.state.sandboxes.get(name)
        if found is not None and found.tenant == tenant:
            return found
        for record in self._fleet.state.sandboxes.values():
            if record.tenant == tenant and record.options.get("name") == name:
                return record
        return None

    def snapshot_named(self, name: str, tenant: str) -> SnapshotRecord | None:
        """A tenant's snapshot, by id or name."""
        for record in self._fleet.state.snapshots.values():
            if record.tenant == tenant and name in (record.id, *record.names):
                return record
        return None

    def _origin(self, wanted: Wanted, tenant: Tenant) -> dict[str, Any]:
        if wanted.image is not None:
            return {"image": wanted.image}
        if wanted.snapshot is not None:
            found = self.snapshot_named(wanted.snapshot, tenant.name)
            if found is not None:
                return {"snapshot": found.address}
        logical = template_of(wanted.snapshot, load_config())
        return {} if logical is None else {"template": logical}

    # -- time ---------------------------------------------------------------------------------

    def left(self, record: SandboxRecord) -> float | None:
        """Seconds until a sandbox's end, whatever its state; ``None`` is for ever."""
        ttl: int = record.options.get("ttl") or 0
        return max(NEVER, record.started_at + ttl * 60 - time.time()) if ttl else None

    async def set_ttl(self, record: SandboxRecord, minutes: int) -> None:
        """Let a sandbox end so many minutes after it was made; 0 is never."""
        record.options["ttl"] = minutes
        if minutes and record.started_at + minutes * 60 <= time.time():
            await self.destroy(record)
            return
        if record.address:
            live = await self._fleet.fresh(record)
            if live.info.state == "running":
                live.info = await live.sandbox.set_lifetime(self.left(record))
            else:
                live.info = await live.sandbox.pause(self.left(record))
        await self._fleet.state.save(record)

    # -- standing still -----------------------------------------------------------------------

    async def stop(self, record: SandboxRecord, *, force: bool = False) -> None:
        """Stop a sandbox: its files are kept, what runs is not. It may be stopped already."""
        if record.options.get("stopped"):
            return
        if record.options["auto_delete"] == 0:
            await self.destroy(record)
            return
        live = await self._fleet.fresh(record)
        if self.memory and not force:
            record.options["halted"] = True  # clients wait for it to be stopped
            if live.info.state == "running":
                live.info = await live.sandbox.pause(self.left(record))
            record.options["stopped_at"] = record.options.get("stopped_at") or time.time()
            await self._fleet.state.save(record)
            return
        if live.info.state == "paused":
            await live.sandbox.resume()
        taken = await live.sandbox.snapshot()
        record.options.update(stopped=taken.address, stopped_at=time.time())
        await self._fleet.shelve(live)

    async def start(self, record: SandboxRecord) -> None:
        """Start a stopped or paused sandbox. It may run already."""
        stopped = record.options.get("stopped")
        record.options.update(halted=False, archived=False, stopped_at=0.0)
        if not stopped:
            live = await self._fleet.fresh(record)
            if live.info.state == "paused":
                await live.sandbox.resume()
                live.info = await live.sandbox.set_lifetime(self.left(record))
            return
        sandbox = await self._make(
            {"snapshot": stopped},
            record.options,
            record.metadata,
            record.id,
            left=self.left(record),
        )
        record.address = sandbox.address
        record.options.update(stopped="", used=time.time())
        try:
            await self._add(record, sandbox)
        except BaseException:
            record.address, record.options["stopped"] = "", stopped
            raise
        with contextlib.suppress(SandboxError):
            await delete_snapshot(stopped, self._fleet.profile)

    async def pause(self, record: SandboxRecord) -> None:
        """Pause a sandbox with its memory.

        Raises:
            Refusal: it is of a class that cannot.
        """
        if not self.memory:
            raise fault(400, "Pausing is not supported for container sandboxes")
        if record.options.get("stopped"):
            raise fault(400, "Sandbox is not started")
        live = await self._fleet.fresh(record)
        if live.info.state == "running":
            live.info = await live.sandbox.pause(self.left(record))

    async def archive(self, record: SandboxRecord) -> None:
        """Put a stopped sandbox away.

        Raises:
            Refusal: it is not stopped.
        """
        if not (record.options.get("stopped") or record.options.get("halted")):
            raise fault(400, "Sandbox is not stopped")
        record.options["archived"] = True
        await self._fleet.state.save(record)

    # -- copies -------------------------------------------------------------------------------

    async def snapshot(self, record: SandboxRecord, name: str, *, memory: bool) -> SnapshotRecord:
        """Save a sandbox's files under a name.

        Raises:
            Refusal: the name is taken, or its memory is wanted.
        """
        if memory:
            raise fault(400, "Container sandboxes do not support memory snapshots")
        if self.snapshot_named(name, record.tenant) is not None:
            raise fault(409, f'Snapshot with name "{name}" already exists')
        if record.options.get("stopped"):
            raise fault(400, "Sandbox is not started")
        live = await self._fleet.open(record)
        taken = await live.sandbox.snapshot()
        kept = SnapshotRecord(
            id=str(uuid.uuid4()),
            tenant=record.tenant,
            address=taken.address,
            sandbox=record.id,
            names=[name],
            created_at=time.time(),
        )
        await self._fleet.state.save(kept)
        return kept

    async def forget_snapshot(self, record: SnapshotRecord) -> None:
        """Delete a snapshot."""
        await delete_snapshot(record.address, self._fleet.profile)
        await self._fleet.state.forget(record)

    async def fork(self, record: SandboxRecord, name: str, tenant: Tenant) -> Live[Machine]:
        """Copy a running sandbox.

        Raises:
            Refusal: it is of a class that cannot.
        """
        if not self.memory:
            raise fault(422, "Forking is not supported for container sandboxes")
        with self._named(name, tenant):
            live = await self._fleet.open(record)
            async with self._fleet.room(tenant):
                (made,) = await live.sandbox.fork(1, lifetime=self.left(record))
                copy = replace(
                    record,
                    id=str(uuid.uuid4()),
                    address=made.address,
                    token=secrets.token_urlsafe(32),
                    traffic_token=secrets.token_urlsafe(24),
                    options={**record.options, "name": name, "signed": {}, "stopped_at": 0.0},
                )
                return await self._fleet.add(copy, made)

    # -- ending -------------------------------------------------------------------------------

    async def destroy(self, record: SandboxRecord) -> None:
        """End a sandbox, stopped or not. Idempotent."""
        stopped = record.options.get("stopped")
        if stopped:
            with contextlib.suppress(SandboxError):
                await delete_snapshot(stopped, self._fleet.profile)
            await self._fleet.forget(record)
        else:
            with contextlib.suppress(SandboxNotFoundError):
                await self._fleet.kill(record)
        self._busy.pop(record.id, None)
