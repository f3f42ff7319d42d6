"""Snapshots on Blaxel, which keep nothing of ours but their names."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from sandboxkit.errors import (
    InvalidRequestError,
    NotFoundError,
    ProviderUnavailableError,
    SnapshotNotFoundError,
    UnsupportedError,
)
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest

from . import sdk
from .account import Account

__all__ = ["Snapshots"]

_NAME = re.compile(r"skt-([0-9a-f]{12})-([0-9]+)-([0-9]+|ever)-([0-9a-f]+)-?([a-z2-7]*)")
_LONGEST = 60
PATIENCE = 600.0
"""Seconds for a snapshot to be taken."""


class Written(NamedTuple):
    """What a snapshot's name on Blaxel says.

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
    found = _NAME.fullmatch(name)
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
            f"snapshot: on Blaxel a name has at most {_LONGEST} bytes", provider="blaxel"
        )
    now = int(time.time())
    expires = "ever" if request.lifetime is None else str(now + max(1, round(request.lifetime)))
    packed = base64.b32encode(plain).decode().rstrip("=").lower()
    owner = _digest(request.labels.get("owner", ""))
    return f"skt-{owner}-{now}-{expires}-{secrets.token_hex(4)}-{packed}".rstrip("-")


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
        if request.kind != "filesystem":
            raise UnsupportedError(
                "what a snapshot on Blaxel keeps of the memory is not ours to promise",
                capability="snapshots",
                provider="blaxel",
            )
        if request.name is not None:
            async for other in self.list({"owner": request.labels.get("owner", "")}):
                if other.name == request.name:
                    raise InvalidRequestError(
                        f"snapshot: the name {request.name!r} is taken by {other.address}",
                        provider="blaxel",
                        hint=f"sandboxkit snapshot rm {other.address}",
                    )
        name = name_for(request)
        body = sdk.SandboxSnapshotRequest.from_dict(
            {"name": name, "source": {"kind": "sandbox", "name": request.sandbox_id}}
        )
        assert body is not None
        taking = sdk.control.create_snapshot.asyncio(client=self._account.control, body=body)
        taken = await self._account.call("snapshot", taking)
        assert taken is not None
        await self._until_ready(taken)
        found = written(name)
        assert found is not None
        return _info(taken.id, found, request.labels)

    async def _until_ready(self, taken: sdk.SandboxSnapshot) -> None:
        """That one is ready is told by nothing but an answer to the question."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + PATIENCE, 0.1
        while taken.status.lower() != "ready":
            if taken.status.lower() == "failed" or loop.time() > deadline:
                raise ProviderUnavailableError(
                    f"the snapshot {taken.id} is {taken.status}", provider="blaxel"
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await loop.create_future()
            pause = min(2.0, pause * 2)
            asking = sdk.control.get_snapshot.asyncio(taken.id, client=self._account.control)
            answer = await self._account.call("snapshot", asking)
            assert answer is not None
            taken = answer

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry these labels, over all pages; what is past its end is not there."""
        cursor: str | sdk.Unset = sdk.UNSET
        while True:
            asking = sdk.control.list_snapshots.asyncio(
                client=self._account.control, cursor=cursor, limit=100
            )
            page = await self._account.call("snapshots", asking)
            for one in [] if page is None or isinstance(page.data, sdk.Unset) else page.data:
                found = written(one.name)
                if found is None or _is_over(found):
                    continue
                owner = labels.get("owner")
                if (owner is None or _digest(owner) == found.owner) and not set(labels) - {"owner"}:
                    yield _info(one.id, found, labels)
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
        said = None if found is None else written(found.name)
        if found is None or (said is not None and _is_over(said)):
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


def _is_over(found: Written) -> bool:
    return found.expires is not None and found.expires <= time.time()


def _info(snapshot_id: str, found: Written, labels: Mapping[str, str]) -> SnapshotInfo:
    kept = {name: value for name, value in labels.items() if name == "owner"}
    expires = None if found.expires is None else datetime.fromtimestamp(found.expires, UTC)
    if expires is not None:
        kept["expires_at"] = expires.isoformat()
    return SnapshotInfo(
        id=snapshot_id,
        provider="blaxel",
        name=found.name,
        created_at=datetime.fromtimestamp(found.created, UTC),
        expires_at=expires,
        labels=kept,
    )
