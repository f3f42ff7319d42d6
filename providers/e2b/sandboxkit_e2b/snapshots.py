"""Snapshots on E2B, which keep nothing of ours but their names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from sandboxkit.errors import SnapshotNotFoundError
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest
from sandboxkit.provider.snapshot_names import SnapshotName, new_snapshot_name

from .account import Account

__all__ = ["Snapshots"]


class Snapshots:
    """The snapshots of an account.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    async def take(self, request: SnapshotRequest) -> SnapshotInfo:
        """Save a sandbox's disk.

        Raises:
            UnsupportedError: its memory is wanted too.
            InvalidRequestError: the name is taken.
        """
        name = await new_snapshot_name(request, "e2b", self.list)
        mode = "filesystem" if self._account.settings.filesystem_snapshots else "full"
        taken = await self._account.call(
            "snapshot",
            self._account.sandboxes.create_snapshot(request.sandbox_id, name=name, mode=mode),
        )
        found = SnapshotName.read(name)
        assert found is not None
        return found.info("e2b", taken.snapshot_id, request.labels)

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; their owner's asking ends what is over."""
        async for snapshot_id, found in self._all():
            if not found.carries(labels):
                continue
            if not found.is_over:
                yield found.info("e2b", snapshot_id, labels)
            elif "owner" in labels:
                await self.delete(snapshot_id)

    async def _all(self) -> AsyncIterator[tuple[str, SnapshotName]]:
        pages = self._account.sandboxes.list_snapshots()
        while pages.has_next:
            for one in await self._account.call("snapshots", pages.next_items()):
                found = next(filter(None, map(_read, one.names)), None)
                if found is not None:
                    yield one.snapshot_id, found

    async def check(self, snapshot_id: str) -> None:
        """See that a snapshot may be started from.

        Raises:
            SnapshotNotFoundError: its time is over.
        """
        found = _read(snapshot_id)
        if found is None:  # E2B's own ids have the name in them, and others' may not
            async for other, name in self._all():
                found = name if other == snapshot_id else found
        if found is not None and found.is_over:
            raise SnapshotNotFoundError(
                f"snapshot {snapshot_id} has ended", hint="sandboxkit snapshot ls"
            )

    async def delete(self, snapshot_id: str) -> bool:
        """Delete one; true if it was there."""
        deleting = self._account.sandboxes.delete_snapshot(snapshot_id)
        return bool(await self._account.call("delete_snapshot", deleting))


def _read(name: str) -> SnapshotName | None:
    # E2B puts a namespace before it and a tag behind.
    return SnapshotName.read(name.rpartition("/")[2].partition(":")[0])
