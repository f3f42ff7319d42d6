"""Snapshots on E2B, which keep nothing of ours but their names."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from sandboxkit.errors import InvalidRequestError, SnapshotNotFoundError, UnsupportedError
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest

from .account import Account

__all__ = ["Snapshots"]

_NAME = re.compile(r"skt-([0-9a-f]{12})-([0-9]+)-([0-9]+|ever)-([0-9a-f]+)-?([a-z2-7]*)")
_LONGEST = 60


class Written(NamedTuple):
    """What a snapshot's name on E2B says.

    Attributes:
        owner: a digest of whose it is.
        created: seconds since 1970.
        expires: likewise; ``None`` is never.
        name: as its owner calls it.
    """

    owner: str
    created: int
    expires: int | None
    name: str | None


def _digest(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


def written(name: str) -> Written | None:
    """What a name says; ``None`` if it is none of ours."""
    # E2B puts a namespace before it and a tag behind.
    found = _NAME.fullmatch(name.rpartition("/")[2].partition(":")[0])
    if found is None:
        return None
    owner, created, expires, _, packed = found.groups()
    padded = packed.upper() + "=" * (-len(packed) % 8)
    return Written(
        owner,
        int(created),
        None if expires == "ever" else int(expires),
        base64.b32decode(padded).decode("utf-8", "replace") or None,
    )


def name_for(request: SnapshotRequest) -> str:
    """The name of a new snapshot.

    Raises:
        InvalidRequestError: its owner's name for it is too long.
    """
    plain = (request.name or "").encode()
    if len(plain) > _LONGEST:
        raise InvalidRequestError(
            f"snapshot: on E2B a name has at most {_LONGEST} bytes", provider="e2b"
        )
    now = int(time.time())
    expires = "ever" if request.lifetime is None else str(now + max(1, round(request.lifetime)))
    packed = base64.b32encode(plain).decode().rstrip("=").lower()
    owner = _digest(request.labels.get("owner", ""))
    return f"skt-{owner}-{now}-{expires}-{secrets.token_hex(4)}-{packed}".rstrip("-")


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
        if request.kind != "filesystem":
            raise UnsupportedError(
                "a snapshot with memory cannot be asked for", capability="snapshots", provider="e2b"
            )
        if request.name is not None:
            async for other in self.list({"owner": request.labels.get("owner", "")}):
                if other.name == request.name:
                    raise InvalidRequestError(
                        f"snapshot: the name {request.name!r} is taken by {other.address}",
                        provider="e2b",
                        hint=f"sandboxkit snapshot rm {other.address}",
                    )
        name = name_for(request)
        mode = "filesystem" if self._account.settings.filesystem_snapshots else "full"
        taken = await self._account.call(
            "snapshot",
            self._account.sandboxes.create_snapshot(request.sandbox_id, name=name, mode=mode),
        )
        found = written(name)
        assert found is not None
        return _info(taken.snapshot_id, found, request.labels)

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; their owner's asking ends what is over."""
        owner = labels.get("owner")
        async for snapshot_id, found in self._all():
            if owner is not None and _digest(owner) != found.owner:
                continue
            if _is_over(found):
                if owner is not None:
                    await self.delete(snapshot_id)
            elif not set(labels) - {"owner"}:
                yield _info(snapshot_id, found, labels)

    async def _all(self) -> AsyncIterator[tuple[str, Written]]:
        pages = self._account.sandboxes.list_snapshots()
        while pages.has_next:
            for one in await self._account.call("snapshots", pages.next_items()):
                found = next(filter(None, map(written, one.names)), None)
                if found is not None:
                    yield one.snapshot_id, found

    async def check(self, snapshot_id: str) -> None:
        """See that a snapshot may be started from.

        Raises:
            SnapshotNotFoundError: its time is over.
        """
        found = written(snapshot_id)
        if found is None:  # E2B's own ids have the name in them, and others' may not
            async for other, name in self._all():
                found = name if other == snapshot_id else found
        if found is not None and _is_over(found):
            raise SnapshotNotFoundError(
                f"snapshot {snapshot_id} has ended", hint="sandboxkit snapshot ls"
            )

    async def delete(self, snapshot_id: str) -> bool:
        """Delete one; true if it was there."""
        deleting = self._account.sandboxes.delete_snapshot(snapshot_id)
        return bool(await self._account.call("delete_snapshot", deleting))


def _is_over(found: Written) -> bool:
    return found.expires is not None and found.expires <= time.time()


def _info(snapshot_id: str, found: Written, labels: Mapping[str, str]) -> SnapshotInfo:
    kept = {name: value for name, value in labels.items() if name == "owner"}
    expires = None if found.expires is None else datetime.fromtimestamp(found.expires, UTC)
    if expires is not None:
        kept["expires_at"] = expires.isoformat()
    return SnapshotInfo(
        id=snapshot_id,
        provider="e2b",
        name=found.name,
        created_at=datetime.fromtimestamp(found.created, UTC),
        expires_at=expires,
        labels=kept,
    )
