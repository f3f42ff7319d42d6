"""Snapshots on Daytona, which are addressed by names and keep nothing else of ours."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from daytona import AsyncSandbox

from sandboxkit.errors import (
    InvalidRequestError,
    NotFoundError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
    UnsupportedError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest

from .account import Account

__all__ = ["Snapshots"]

_NAME = re.compile(r"skt-([0-9a-f]{12})-([0-9]+)-([0-9]+|ever)-([0-9a-f]+)(?:-([a-z2-7]+))?")
_LONGEST = 60
_PAGE = 100
_PATIENCE = 600.0
"""Seconds for a snapshot to be stored."""
_FIRST_LOOK, _RARELY = 0.05, 1.0
_FAILED = ("error", "build_failed")


class Written(NamedTuple):
    """What a snapshot's name on Daytona says.

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

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return self.expires is not None and self.expires <= time.time()


def _digest(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


def written(name: str) -> Written | None:
    """What a name says; ``None`` if it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    owner, created, expires, _, packed = found.groups(default="")
    try:
        plain = base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))
    except binascii.Error:
        return None
    ends = None if expires == "ever" else int(expires)
    return Written(owner, int(created), ends, plain.decode("utf-8", "replace") or None)


def name_for(request: SnapshotRequest) -> str:
    """The name of a new snapshot.

    Raises:
        InvalidRequestError: its owner's name for it is too long.
    """
    plain = (request.name or "").encode()
    if len(plain) > _LONGEST:
        raise InvalidRequestError(
            f"snapshot: on Daytona a name has at most {_LONGEST} bytes", provider="daytona"
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

    async def take(self, machine: AsyncSandbox, request: SnapshotRequest) -> SnapshotInfo:
        """Save a sandbox's disk, and return once it can be started from.

        Raises:
            UnsupportedError: its memory is wanted too.
            InvalidRequestError: the name is taken.
        """
        if request.kind != "filesystem":
            raise UnsupportedError(
                "a snapshot with memory cannot be asked for",
                capability="snapshots",
                provider="daytona",
            )
        if request.name is not None:
            async for other in self.list({"owner": request.labels.get("owner", "")}):
                if other.name == request.name:
                    raise InvalidRequestError(
                        f"snapshot: the name {request.name!r} is taken by {other.address}",
                        provider="daytona",
                        hint=f"sandboxkit snapshot rm {other.address}",
                    )
        name = name_for(request)
        taking = machine.create_snapshot(name, timeout=_PATIENCE)
        await self._account.call("snapshot", taking, bounded=False)
        await self._until_stored(name)
        found = written(name)
        assert found is not None
        return _info(name, found, request.labels)

    async def _until_stored(self, name: str) -> None:
        # The SDK waits for the sandbox alone, and there is no event for a snapshot.
        wait = _FIRST_LOOK
        async with asyncio.timeout(_PATIENCE):
            while True:
                getting = self._account.client.snapshot.get(name)
                found = await self._account.call("snapshot", getting)
                if found.state.value == "active":
                    return
                if found.state.value in _FAILED:
                    raise ProviderUnavailableError(
                        f"Daytona could not store the snapshot: {found.error_reason}",
                        op="snapshot",
                        provider="daytona",
                    )
                nothing = asyncio.get_running_loop().create_future()
                await asyncio.wait({nothing}, timeout=wait)
                wait = min(_RARELY, wait * 2)

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; what is past its end is not there."""
        page, pages = 1, 1
        while page <= pages:
            listing = self._account.client.snapshot.list(page=page, limit=_PAGE)
            answer = await self._account.call("snapshots", listing)
            for one in answer.items:
                found = written(one.name)
                if found is None or found.is_over:
                    continue
                owner = labels.get("owner")
                if (owner is None or _digest(owner) == found.owner) and not set(labels) - {"owner"}:
                    yield _info(one.name, found, labels)
            page, pages = page + 1, answer.total_pages

    async def check(self, snapshot_id: str) -> None:
        """See that a snapshot may be started from.

        Raises:
            SnapshotNotFoundError: its time is over.
        """
        found = written(snapshot_id)
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


def _info(snapshot_id: str, found: Written, labels: Mapping[str, str]) -> SnapshotInfo:
    kept = {name: value for name, value in labels.items() if name == "owner"}
    expires = None if found.expires is None else datetime.fromtimestamp(found.expires, UTC)
    if expires is not None:
        kept["expires_at"] = expires.isoformat()
    return SnapshotInfo(
        id=snapshot_id,
        provider="daytona",
        name=found.name,
        created_at=datetime.fromtimestamp(found.created, UTC),
        expires_at=expires,
        labels=kept,
    )
