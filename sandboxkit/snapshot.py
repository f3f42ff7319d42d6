"""A snapshot that can be deleted."""

from __future__ import annotations

from datetime import datetime

from .errors import NotFoundError
from .models import SnapshotInfo, SnapshotKind
from .provider import SnapshotIdRequest
from .resolve import Target
from .runtime import acquire

__all__ = ["AsyncSnapshot"]


class AsyncSnapshot:
    """Saved state to create sandboxes from; independent of the sandbox it was taken of.

    Attributes:
        info: what the provider says of it.
    """

    def __init__(self, info: SnapshotInfo, target: Target) -> None:
        self.info = info
        self._target = target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {self.name or ''}>".replace(" >", ">")

    @property
    def address(self) -> str:
        """``provider:id``, good for ``create(snapshot=...)`` in any process."""
        return self.info.address

    @property
    def id(self) -> str:
        """The provider's own identifier."""
        return self.info.id

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""
        return self.info.name

    @property
    def kind(self) -> SnapshotKind:
        """``filesystem`` or ``memory``."""
        return self.info.kind

    @property
    def size(self) -> int | None:
        """Bytes stored, where the provider says."""
        return self.info.size

    @property
    def created_at(self) -> datetime:
        """When it was taken."""
        return self.info.created_at

    async def delete(self) -> bool:
        """Delete it; true if it was there. Idempotent."""
        async with acquire(self._target) as provider:
            try:
                return await provider.delete_snapshot(SnapshotIdRequest(snapshot_id=self.id))
            except NotFoundError:
                return False
