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
from ..provider import CreateRequest, ForkRequest, KillRequest, ListRequest, SnapshotRequest
from .base import Layer

__all__ = ["OwnershipLayer", "owner", "session_name"]

CLEAN_UP = 15.0
"""Seconds that the clean-up after a failed create may take."""

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

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Create, labelled; on any failure find what was made by its nonce and kill it."""
        labels = ownership_labels(request.nonce, request.lifetime)
        request = replace(request, labels={**labels, **request.labels})
        limit = asyncio.timeout(request.create_timeout)
        try:
            async with limit:
                return await self.inner.create(request)
        except BaseException as error:
            if not (isinstance(error, SandboxError) and error.outcome == "not_started"):
                await self._undo(request.nonce)
            if isinstance(error, TimeoutError) and limit.expired():
                raise CreateTimeoutError(
                    f"the sandbox was not ready within {request.create_timeout:g} s",
                    op="create",
                    provider=self.name,
                    outcome="not_started",
                ) from None
            raise

    async def fork(self, request: ForkRequest) -> Sequence[SandboxInfo]:
        """Fork, labelled."""
        labels = ownership_labels(secrets.token_hex(16), request.lifetime)
        return await self.inner.fork(replace(request, labels={**labels, **request.labels}))

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Snapshot, labelled."""
        labels = ownership_labels(secrets.token_hex(16), request.lifetime)
        return await self.inner.snapshot(replace(request, labels={**labels, **request.labels}))

    async def _undo(self, nonce: str) -> None:
        task = asyncio.ensure_future(self._kill_by_nonce(nonce))
        # A second cancel must not leave the sandbox behind either.
        while not task.done():
            try:
                await asyncio.wait({task}, timeout=CLEAN_UP)
                break
            except asyncio.CancelledError:
                continue

    async def _kill_by_nonce(self, nonce: str) -> None:
        try:
            async for found in self.inner.list(ListRequest(labels={"nonce": nonce})):
                await self.inner.kill(KillRequest(sandbox_id=found.id))
        except SandboxError:
            return  # its lifetime ends it; the first error is the one to hear of
