"""What the control plane tells, as the wire has it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ...models import SandboxInfo
from ..state import SandboxRecord, SnapshotRecord

__all__ = ["moment", "name_of", "sandbox", "snapshot"]


def moment(seconds: float) -> str:
    """A time as the wire has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def name_of(record: SandboxRecord) -> str:
    """A sandbox's name in its workspace."""
    return record.id.partition("/")[2]


def sandbox(
    record: SandboxRecord, info: SandboxInfo | None, origin: str, status: str = "DEPLOYED"
) -> dict[str, Any]:
    """A sandbox.

    Args:
        record: what the gateway remembers of it.
        info: what its provider says, if it is there.
        origin: where clients reach the gateway.
        status: of it.
    """
    options = record.options
    workspace = str(options.get("workspace", "main"))
    told: dict[str, Any] = {
        "metadata": {
            "name": name_of(record),
            "displayName": options.get("display_name") or name_of(record),
            "labels": record.metadata,
            "createdAt": moment(record.started_at),
            "updatedAt": moment(float(options.get("updated_at", record.started_at))),
            "workspace": workspace,
            "url": f"{origin}/{workspace}/sandboxes/{name_of(record)}",
        },
        "spec": {"enabled": True, **options.get("spec", {})},
        "status": status,
        "events": [],
    }
    if info is not None:
        told["state"] = "STANDBY" if info.state == "paused" else "RUNNING"
        if info.expires_at is not None:
            left = (info.expires_at - datetime.now(UTC)).total_seconds()
            told["expiresIn"] = max(0, round(left))
    return told


def snapshot(record: SnapshotRecord, workspace: str) -> dict[str, Any]:
    """A snapshot."""
    name = record.sandbox.partition("/")[2]
    return {
        "id": record.id.partition("/")[2],
        "name": record.names[0],
        "status": "ready",
        "createdAt": moment(record.created_at),
        "workspace": workspace,
        "sandboxName": name,
        "source": {"kind": "sandbox", "name": name},
        "spec": {},
    }
