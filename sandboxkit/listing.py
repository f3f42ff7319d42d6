"""What there is: sandboxes, snapshots, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from .layers.ownership import expired, owner
from .models import SandboxInfo, SandboxState
from .provider import KillRequest, ListRequest, SnapshotIdRequest, SnapshotListRequest
from .resolve import split_address, target, target_for
from .runtime import acquire
from .snapshot import AsyncSnapshot

__all__ = ["delete_snapshot", "list_sandboxes", "list_snapshots", "reap"]


async def list_sandboxes(
    profile: str | None,
    metadata: Mapping[str, str],
    session: str | None,
    state: SandboxState | None,
) -> list[SandboxInfo]:
    """Live sandboxes, newest first."""
    chosen = target(profile)
    labels = {} if session is None else {"session": session}
    request = ListRequest(labels=labels, metadata=dict(metadata), state=state)
    async with acquire(chosen) as provider:
        found = [info async for info in provider.list(request)]
    return sorted(found, key=lambda info: info.created_at, reverse=True)


async def list_snapshots(profile: str | None) -> list[AsyncSnapshot]:
    """This owner's snapshots, newest first."""
    chosen = target(profile)
    request = SnapshotListRequest(labels={"owner": owner()})
    async with acquire(chosen) as provider:
        found = [info async for info in provider.list_snapshots(request)]
    found.sort(key=lambda info: info.created_at, reverse=True)
    return [AsyncSnapshot(info, chosen) for info in found]


async def delete_snapshot(address: str, profile: str | None = None) -> bool:
    """Delete a snapshot by its address; true if it was there."""
    provider_name, identifier = split_address(address)
    chosen = target_for(provider_name, profile)
    async with acquire(chosen) as provider:
        return await provider.delete_snapshot(SnapshotIdRequest(snapshot_id=identifier))


async def reap(profile: str | None = None, *, dry_run: bool = True) -> list[str]:
    """End what is yours and past its time: sandboxes and snapshots whose provider did not.

    Only what carries this owner's label and an ``expires_at`` that is over is touched, so no
    sibling's live sandbox ever is.

    Args:
        profile: ``None`` is the configured default.
        dry_run: only say what would end.

    Returns:
        Their addresses.
    """
    chosen = target(profile)
    mine = {"owner": owner()}
    now = datetime.now(UTC)
    gone: list[str] = []
    async with acquire(chosen) as provider:
        sandboxes = [info async for info in provider.list(ListRequest(labels=mine))]
        for sandbox in sandboxes:
            if sandbox.expires_at is not None and sandbox.expires_at <= now:
                gone.append(sandbox.address)
                if not dry_run:
                    await provider.kill(KillRequest(sandbox_id=sandbox.id))
        if provider.capabilities.snapshots:
            listed = provider.list_snapshots(SnapshotListRequest(labels=mine))
            for snapshot in [info async for info in listed]:
                if expired(snapshot.labels, now):
                    gone.append(snapshot.address)
                    if not dry_run:
                        await provider.delete_snapshot(SnapshotIdRequest(snapshot_id=snapshot.id))
    return gone
