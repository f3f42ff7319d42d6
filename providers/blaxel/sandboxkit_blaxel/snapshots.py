"""Snapshots on Blaxel, which keep nothing of ours but their names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from sandboxkit.errors import (
    NotFoundError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest
from sandboxkit.provider.settling import until
from sandboxkit.provider.snapshot_names import SnapshotName, new_snapshot_name

from . import sdk
from .account import Account

__all__ = ["Snapshots"]

PATIENCE = 600.0
"""Seconds for a snapshot to be taken."""


class Snapshots:
    """The snapshots of a workspace.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    async def take(self, request: SnapshotRequest) -> SnapshotInfo:
        """Save a sandbox's state.

        Raises:
            UnsupportedError: its memory is wanted, of which nothing is promised.
            InvalidRequestError: the name is taken.
        """
        name = await new_snapshot_name(request, "blaxel", self.list)
        body = sdk.SandboxSnapshotRequest.from_dict(
            {"name": name, "source": {"kind": "sandbox", "name": request.sandbox_id}}
        )
        assert body is not None
        taking = sdk.control.create_snapshot.asyncio(client=self._account.control, body=body)
        taken = await self._account.call("snapshot", taking)
        assert taken is not None
        ready = partial(self._is_ready, taken.id)
        if taken.status.lower() != "ready" and not await until(
            ready, seconds=PATIENCE, first=0.1, rarest=2.0
        ):
            raise ProviderUnavailableError(
                f"Blaxel has not taken the snapshot {taken.id} within {PATIENCE:g} s",
                provider="blaxel",
                outcome="unknown",
                hint="sandboxkit snapshot ls",
            )
        found = SnapshotName.read(name)
        assert found is not None
        return found.info("blaxel", taken.id, request.labels)

    async def _is_ready(self, snapshot_id: str) -> bool:
        # That one is ready is told by nothing but an answer to the question.
        asking = sdk.control.get_snapshot.asyncio(snapshot_id, client=self._account.control)
        answer = await self._account.call("snapshot", asking)
        assert answer is not None
        if answer.status.lower() == "failed":
            raise ProviderUnavailableError(
                f"Blaxel could not take the snapshot {snapshot_id}", provider="blaxel"
            )
        return answer.status.lower() == "ready"

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; what is past its end is not there."""
        cursor: str | sdk.Unset = sdk.UNSET
        while True:
            asking = sdk.control.list_snapshots.asyncio(
                client=self._account.control, cursor=cursor, limit=100
            )
            page = await self._account.call("snapshots", asking)
            for one in [] if page is None or isinstance(page.data, sdk.Unset) else page.data:
                found = SnapshotName.read(one.name)
                if found is None or found.is_over:
                    continue
                if found.carries(labels):
                    yield found.info("blaxel", one.id, labels)
            following = sdk.following(page)
            if following is None:
                return
            cursor = following

    async def check(self, snapshot_id: str) -> None:
        """See that a snapshot may be started from.

        Raises:
            SnapshotNotFoundError: there is none, or its time is over.
        """
        asking = sdk.control.get_snapshot.asyncio(snapshot_id, client=self._account.control)
        try:
            found = await self._account.call("create", asking)
        except NotFoundError:
            found = None
        said = None if found is None else SnapshotName.read(found.name)
        if found is None or (said is not None and said.is_over):
            raise SnapshotNotFoundError(
                f"there is no snapshot blaxel:{snapshot_id}", hint="sandboxkit snapshot ls"
            )

    async def delete(self, snapshot_id: str) -> bool:
        """Delete one; true if it was there."""
        deleting = sdk.control.delete_snapshot.asyncio(snapshot_id, client=self._account.control)
        try:
            await self._account.call("delete_snapshot", deleting)
        except NotFoundError:
            return False
        return True
