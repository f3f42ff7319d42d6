"""What the control plane says, as Daytona's models have it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...models import SandboxInfo
from ..state import SandboxRecord, SnapshotRecord

__all__ = ["Place", "moment", "organization", "sandbox", "snapshot", "state_of"]

DEFAULT_SNAPSHOT = "daytona-small"


class Place:
    """Where a gateway is reached, and what its sandboxes are.

    Args:
        url: of the server, as the client names it.
        domain: what the names of sandboxes' ports end in.
        memory: whether sandboxes can be paused with their memory, as Daytona's machines can.
    """

    def __init__(self, url: str, domain: str, *, memory: bool) -> None:
        self.url = url
        self.domain = domain
        self.kind = "linux-vm" if memory else "container"

    @property
    def toolbox(self) -> str:
        """What the toolbox of each sandbox is reached under."""
        return f"{self.url}/toolbox"


def moment(seconds: float) -> str:
    """A moment, from seconds since 1970."""
    shown = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def organization(tenant: str) -> str:
    """The organization that a tenant is."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandboxkit:{tenant}"))


def state_of(record: SandboxRecord, info: SandboxInfo | None) -> str:
    """How a sandbox is, in Daytona's words; one without a provider's word is stopped."""
    if record.options.get("stopped") or record.options.get("halted"):
        return "archived" if record.options.get("archived") else "stopped"
    if info is not None and info.state == "paused":
        return "paused"
    return "started"


def sandbox(record: SandboxRecord, state: str, place: Place) -> dict[str, Any]:
    """A sandbox."""
    options: Mapping[str, Any] = record.options
    told = {
        "id": record.id,
        "organizationId": organization(record.tenant),
        "name": options.get("name") or record.id,
        "snapshot": record.template,
        "user": options.get("shown_user") or "daytona",
        "env": options.get("env") or {},
        "labels": record.metadata,
        "public": bool(options.get("public")),
        "networkBlockAll": bool(options.get("block")),
        "networkAllowList": options.get("networks"),
        "domainAllowList": options.get("domains"),
        "kvm": False,
        "target": options.get("target") or "us",
        "cpu": options.get("cpu") or 1,
        "gpu": 0,
        "memory": options.get("memory") or 1,
        "disk": options.get("disk") or 3,
        "state": state,
        "desiredState": "destroyed" if state.startswith("destroy") else state,
        "autoStopInterval": options.get("auto_stop", 0),
        "autoPauseInterval": options.get("auto_pause", 0),
        "autoArchiveInterval": options.get("auto_archive", 10080),
        "autoDeleteInterval": options.get("auto_delete", -1),
        "volumes": [],
        "createdAt": moment(record.started_at),
        "updatedAt": moment(options.get("updated") or record.started_at),
        "lastActivityAt": moment(options.get("used") or record.started_at),
        "sandboxClass": place.kind,
        "daemonVersion": "sandboxkit",
        "toolboxProxyUrl": place.toolbox,
    }
    if options.get("ttl"):
        told["autoDestroyAt"] = moment(record.started_at + options["ttl"] * 60)
    return told


def snapshot(record: SnapshotRecord, place: Place) -> dict[str, Any]:
    """A snapshot."""
    made = moment(record.created_at)
    return {
        "id": record.id,
        "organizationId": organization(record.tenant),
        "general": False,
        "name": record.names[0] if record.names else record.id,
        "state": "active",
        "size": 0,
        "entrypoint": [],
        "cpu": 1,
        "gpu": 0,
        "mem": 1,
        "disk": 3,
        "errorReason": None,
        "createdAt": made,
        "updatedAt": made,
        "lastUsedAt": made,
        "sourceSandboxId": record.sandbox,
        "sandboxClass": place.kind,
    }
