"""Names of snapshots, for services that keep nothing else of ours with one.

A name is ``skt-OWNER-CREATED-EXPIRES-NONCE[-NAME]``: a digest of the owner, seconds since 1970
(the second may be ``ever``), a nonce, and in base32 what the owner calls it. It needs only small
letters, digits and dashes, and all that the contract promises of a snapshot is read from it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from ..errors import InvalidRequestError, UnsupportedError
from ..models import SnapshotInfo
from .snapshots import SnapshotRequest

__all__ = ["SnapshotName", "new_snapshot_name"]

_NAME = re.compile(r"skt-([0-9a-f]{12})-([0-9]+)-([0-9]+|ever)-[0-9a-f]+(?:-([a-z2-7]+))?")
_LONGEST = 60


class SnapshotName(NamedTuple):
    """What the name of a snapshot says.

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

    @classmethod
    def read(cls, text: str) -> SnapshotName | None:
        """What a name says; ``None`` if it is none of ours."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        owner, created, expires, packed = found.groups(default="")
        try:
            plain = base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))
        except binascii.Error:
            return None
        ends = None if expires == "ever" else int(expires)
        return cls(owner, int(created), ends, plain.decode("utf-8", "replace") or None)

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return self.expires is not None and self.expires <= time.time()

    def carries(self, labels: Mapping[str, str]) -> bool:
        """Whether it has these labels; of all labels, only the owner's is kept in a name."""
        owner = labels.get("owner")
        return (owner is None or _digest(owner) == self.owner) and not set(labels) - {"owner"}

    def info(self, provider: str, snapshot_id: str, labels: Mapping[str, str]) -> SnapshotInfo:
        """The snapshot, of which it is known that it carries these labels."""
        kept = {name: value for name, value in labels.items() if name == "owner"}
        expires = None if self.expires is None else datetime.fromtimestamp(self.expires, UTC)
        if expires is not None:
            kept["expires_at"] = expires.isoformat()
        return SnapshotInfo(
            id=snapshot_id,
            provider=provider,
            name=self.name,
            created_at=datetime.fromtimestamp(self.created, UTC),
            expires_at=expires,
            labels=kept,
        )


async def new_snapshot_name(
    request: SnapshotRequest,
    provider: str,
    listed: Callable[[Mapping[str, str]], AsyncIterable[SnapshotInfo]],
) -> str:
    """The name for a new snapshot of the disk.

    Args:
        request: for it.
        provider: whose name stands in errors.
        listed: lists snapshots by labels; called only if its owner gives it a name.

    Raises:
        UnsupportedError: memory is wanted too.
        InvalidRequestError: its owner's name for it is taken, or too long.
    """
    if request.kind != "filesystem":
        raise UnsupportedError(
            "a snapshot with memory cannot be asked for", capability="snapshots", provider=provider
        )
    plain = (request.name or "").encode()
    if len(plain) > _LONGEST:
        raise InvalidRequestError(
            f"snapshot: with this provider a name has at most {_LONGEST} bytes", provider=provider
        )
    owner = request.labels.get("owner", "")
    if plain:
        async for other in listed({"owner": owner}):
            if other.name == request.name:
                raise InvalidRequestError(
                    f"snapshot: the name {request.name!r} is taken by {other.address}",
                    provider=provider,
                    hint=f"sandboxkit snapshot rm {other.address}",
                )
    now = int(time.time())
    expires = "ever" if request.lifetime is None else str(now + max(1, round(request.lifetime)))
    packed = base64.b32encode(plain).decode().rstrip("=").lower()
    name = f"skt-{_digest(owner)}-{now}-{expires}-{secrets.token_hex(4)}-{packed}"
    return name.rstrip("-")


def _digest(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:12]
