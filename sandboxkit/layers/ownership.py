"""Every sandbox has an owner and an end, and a failed create leaves nothing."""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..errors import CreateTimeoutError, SandboxError
from ..models import SandboxInfo, SnapshotInfo
from ..provider import CreateRequest, ForkRequest, Provider, SnapshotRequest
from .base import Layer
from .undoing import LOOK_UP, Undoing

__all__ = ["OwnershipLayer", "owner", "session_name"]

_session = ""
_session_pid = 0


def owner() -> str:
    """Who makes sandboxes here: ``SANDBOXKIT_OWNER``, else ``user@host``."""
    configured = os.environ.get("SANDBOXKIT_OWNER")
    if configured:
        return configured
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # this uid has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def session_name() -> str:
    """This process's session: a label shared by the sandboxes it makes."""
    global _session, _session_pid
    if _session_pid != os.getpid():
        _session, _session_pid = secrets.token_hex(6), os.getpid()
    return _session


def ownership_labels(nonce: str, lifetime: float | None) -> dict[str, str]:
    """The labels that tell whose a thing is and when it ends."""
    labels = {"owner": owner(), "session": session_name(), "nonce": nonce}
    if lifetime is not None:
        labels["expires_at"] = (datetime.now(UTC) + timedelta(seconds=lifetime)).isoformat()
    return labels


def expired(labels: Mapping[str, str], now: datetime) -> bool:
    """Whether the labels say that its time is over."""
    text = labels.get("expires_at")
    return text is not None and datetime.fromisoformat(text) <= now


class OwnershipLayer(Layer):
    """Labels what is created, and makes `create` a transaction."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self._undoing = Undoing(inner)

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Create, labelled; on any failure find what was made by its nonce and kill it."""
        labels = ownership_labels(request.nonce, request.lifetime)
        request = replace(request, labels={**labels, **request.labels})
        making = asyncio.ensure_future(self.inner.create(request))
        try:
            await asyncio.wait({making}, timeout=request.create_timeout)
        except asyncio.CancelledError:
            await self._undoing.undo(request.nonce, making)
            raise
        if not making.done():
            gone = await self._undoing.undo(request.nonce, making)
            raise CreateTimeoutError(
                f"the sandbox was not ready within {request.create_timeout:g} s",
                op="create",
                provider=self.name,
                outcome="not_started" if gone else "unknown",
            )
        try:
            return making.result()
        except BaseException as error:
            if not (isinstance(error, SandboxError) and error.outcome == "not_started"):
                await self._undoing.undo(request.nonce, making, LOOK_UP)
            raise

    async def aclose(self) -> None:
        """Close the provider, when what was given up is undone."""
        await self._undoing.close()

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        """Fork, labelled."""
        labels = ownership_labels(secrets.token_hex(16), request.lifetime)
        return await self.inner.fork(replace(request, labels={**labels, **request.labels}))

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Snapshot, labelled."""
        labels = ownership_labels(secrets.token_hex(16), request.lifetime)
        return await self.inner.snapshot(replace(request, labels={**labels, **request.labels}))
