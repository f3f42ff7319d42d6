"""Snapshots: the requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..models import SnapshotKind
from .lifecycle import SandboxRequest

__all__ = ["SnapshotIdRequest", "SnapshotListRequest", "SnapshotRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest(SandboxRequest):
    """Save a sandbox's state; the sandbox goes on.

    Attributes:
        name: unique per owner; ``None`` is nameless.
        lifetime: seconds until the snapshot ends; ``None`` is never.
    """

    name: str | None = None
    kind: SnapshotKind = "filesystem"
    lifetime: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotListRequest:
    """List snapshots that carry all of these labels, over all pages."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotIdRequest:
    """An operation on one snapshot."""

    snapshot_id: str
