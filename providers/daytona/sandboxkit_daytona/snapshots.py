"""Snapshots on Daytona, which are addressed by names and keep nothing else of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from daytona import AsyncSandbox

from sandboxkit.errors import (
    NotFoundError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest
from sandboxkit.provider.settling import until
from sandboxkit.provider.snapshot_names import SnapshotName, new_snapshot_name

from .account import Account

__all__ = ["Snapshots"]

_PAGE = 100
_PATIENCE = 600.0
"""Seconds for a snapshot to be stored."""
_FIRST_LOOK, _RARELY = 0.05, 1.0
_FAILED = ("error", "build_failed")


class Snapshots:
    """The snapshots of an account.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    async def take(self, machine: AsyncSandbox, request: SnapshotRequest) -> SnapshotInfo:
        """Save a sandbox's disk, and return once it can be started from.

        Raises:
            UnsupportedError: its memory is wanted too.
            InvalidRequestError: the name is taken.
        """
        name = await new_snapshot_name(request, "daytona", self.list)
        taking = machine.create_snapshot(name, timeout=_PATIENCE)
        await self._account.call("snapshot", taking, bounded=False)
        stored = partial(self._is_stored, name)
        if not await until(stored, seconds=_PATIENCE, first=_FIRST_LOOK, rarest=_RARELY):
            raise ProviderUnavailableError(
                f"Daytona has not stored the snapshot {name} within {_PATIENCE:g} s",
                provider="daytona",
                outcome="unknown",
                hint="sandboxkit snapshot ls",
            )
        found = SnapshotName.read(name)
        assert found is not None
        return found.info("daytona", name, request.labels)

    async def _is_stored(self, name: str) -> bool:
        # The SDK waits for the sandbox alone, and there is no event for a snapshot.
        getting = self._account.client.snapshot.get(name)
        found = await self._account.call("snapshot", getting)
        if found.state.value in _FAILED:
            raise ProviderUnavailableError(
                f"Daytona could not store the snapshot: {found.error_reason}",
                op="snapshot",
                provider="daytona",
            )
        return found.state.value == "active"

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; what is past its end is not there."""
        page, pages = 1, 1
        while page <= pages:
            listing = self._account.client.snapshot.list(page=page, limit=_PAGE)
            answer = await self._account.call("snapshots", listing)
            for one in answer.items:
                found = SnapshotName.read(one.name)
                if found is None or found.is_over:
                    continue
                if found.carries(labels):
                    yield found.info("daytona", one.name, labels)
            page, pages = page + 1, answer.total_pages

    async def check(self, snapshot_id: str) -> None:
        """See that a snapshot may be started from.

        Raises:
            SnapshotNotFoundError: its time is over.
        """
        found = SnapshotName.read(snapshot_id)
        if found is not None and found.is_over:
            raise SnapshotNotFoundError(
                f"snapshot {snapshot_id} has ended", hint="sandboxkit snapshot ls"
            )

    async def delete(self, snapshot_id: str) -> bool:
        """Delete one; true if it was there."""
        deleting = self._account.client.snapshot.delete(snapshot_id)
        try:
            await self._account.call("delete_snapshot", deleting)
        except NotFoundError:
            return False
        return True
