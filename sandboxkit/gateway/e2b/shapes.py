"""Sandboxes as E2B's control plane writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...models import SandboxInfo, SandboxMetrics
from ..state import SandboxRecord, SnapshotRecord

__all__ = ["ENVD_VERSION", "detail", "listed", "made", "metrics", "snapshot"]

ENVD_VERSION = "0.6.13"
"""Whose abilities clients may expect; they ask for it by version."""

FOREVER = datetime(2100, 1, 1, tzinfo=UTC)


def when(moment: datetime) -> str:
    """A moment in text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def made(record: SandboxRecord, domain: str) -> dict[str, Any]:
    """What a client needs to use a sandbox."""
    told = {
        "templateID": record.template,
        "alias": record.template,
        "sandboxID": record.id,
        "clientID": "sandboxkit",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": record.token,
        "domain": domain,
    }
    if record.traffic_token is not None:
        told["trafficAccessToken"] = record.traffic_token
    return told


def listed(record: SandboxRecord, info: SandboxInfo) -> dict[str, Any]:
    """A sandbox in a list."""
    limits: Mapping[str, Any] = record.options.get("limits", {})
    return {
        "templateID": record.template,
        "alias": record.template,
        "sandboxID": record.id,
        "clientID": "sandboxkit",
        "startedAt": when(datetime.fromtimestamp(record.started_at, UTC)),
        "endAt": when(info.expires_at or FOREVER),
        "cpuCount": limits.get("cpu", 2),
        "memoryMB": limits.get("memory", 512),
        "diskSizeMB": limits.get("disk", 1024),
        "state": info.state,
        "envdVersion": ENVD_VERSION,
        "metadata": record.metadata,
        "volumeMounts": record.options.get("volumes", []),
    }


def detail(record: SandboxRecord, info: SandboxInfo, domain: str) -> dict[str, Any]:
    """All that is known of a sandbox."""
    told = {
        **listed(record, info),
        "envdAccessToken": record.token,
        "domain": domain,
        "allowInternetAccess": bool(record.options.get("internet", False)),
        "lifecycle": {
            "autoResume": record.auto_resume,
            "onTimeout": "pause" if record.auto_pause else "kill",
        },
    }
    if record.options.get("network"):
        told["network"] = record.options["network"]
    return told


def snapshot(record: SnapshotRecord) -> dict[str, Any]:
    """A snapshot."""
    return {"snapshotID": record.id, "names": record.names}


def metrics(now: SandboxMetrics, before: SandboxMetrics | None) -> dict[str, Any]:
    """What a sandbox uses; what is not known is 0, for which the wire has no other word."""
    used = 0.0
    if before is not None and now.cpu_seconds is not None and before.cpu_seconds is not None:
        passed = (now.at - before.at).total_seconds()
        if passed > 0:
            used = 100 * (now.cpu_seconds - before.cpu_seconds) / passed
    return {
        "timestamp": when(now.at),
        "timestampUnix": int(now.at.timestamp()),
        "cpuCount": max(1, round(now.cpu_limit or 1)),
        "cpuUsedPct": round(max(0.0, used), 2),
        "memUsed": now.memory_used or 0,
        "memTotal": now.memory_limit or 0,
        "memCache": 0,
        "diskUsed": now.disk_used or 0,
        "diskTotal": now.disk_limit or 0,
    }
