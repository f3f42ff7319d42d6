"""What is written down with a container or an image, and what is read back from it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sandboxkit.models import SandboxInfo, SandboxState, SnapshotInfo
from sandboxkit.provider import CreateRequest, SnapshotRequest

from . import clients

__all__ = [
    "ID_LENGTH",
    "KIND",
    "OWNERSHIP",
    "PREFIX",
    "container_labels",
    "container_name",
    "ends_at",
    "helper_labels",
    "sandbox_info",
]

ID_LENGTH = 12
"""Digits of an engine's identifier that we use, as its own tools do."""
OWNERSHIP = ("owner", "session", "nonce")
"""What sandboxes are looked for by; the engine filters by these."""
PREFIX = "sandboxkit."
KIND = PREFIX + "kind"
"""The label that says what a thing of ours is."""
_RECORD = PREFIX + "record"
_UNTIL = re.compile(r"(?:-paused-(\d+s|ever))?-until-(\d{8}T\d{6}Z|ever)$")
_MOMENT = "%Y%m%dT%H%M%SZ"


def container_name(nonce: str) -> str:
    """The name that makes a request with this nonce unique on an engine."""
    return f"sandboxkit-{token(nonce)}"


def token(nonce: str) -> str:
    """What stands for a nonce where names are short; some differ in their ends only."""
    return hashlib.sha256(nonce.encode()).hexdigest()[:16]


def name_until(name: str, ends: datetime | None) -> str:
    """A container's name that says when it ends: a label cannot be changed, a name can."""
    stem = _UNTIL.sub("", name.lstrip("/"))
    return f"{stem}-until-{'ever' if ends is None else ends.astimezone(UTC).strftime(_MOMENT)}"


def name_paused(name: str, rest: float | None, ends: datetime | None) -> str:
    """A paused container's name.

    Args:
        name: as it is.
        rest: seconds of its lifetime that are left for when it goes on; ``None`` is for ever.
        ends: when it ends unless it goes on.
    """
    left = "ever" if rest is None else f"{math.ceil(rest)}s"
    stem, _, end = name_until(name, ends).rpartition("-until-")
    return f"{stem}-paused-{left}-until-{end}"


def rest_of(name: str) -> float | None:
    """Seconds of a paused container's lifetime that are left."""
    said = _UNTIL.search(name)
    if said is None or said[1] in (None, "ever"):
        return None
    return float(said[1].removesuffix("s"))


def container_labels(
    request: CreateRequest,
    template: str,
    isolation: str,
    run: str,
    proxy: str | None,
    unenforced: Sequence[str],
) -> dict[str, str]:
    """The labels of a new container. All of them are always set, to hide those of the image."""
    record = {
        "labels": dict(request.labels),
        "metadata": dict(request.metadata),
        "template": template,
        "isolation": isolation,
        "user": request.user,
        "workdir": request.workdir,
        "disk": None if "disk" in unenforced else request.disk,
        "unenforced": list(unenforced),
        "run": run,
        "network": request.network,
        "proxy": proxy,
        **_made_by(request),
        "created_at": datetime.now(UTC).timestamp(),
        "expires_at": None if request.lifetime is None else _end(request),
    }
    return {KIND: "sandbox", **_owners(request), _RECORD: json.dumps(record)}


def helper_labels(request: CreateRequest, kind: str) -> dict[str, str]:
    """The labels of a container that serves a sandbox, and of what the two share."""
    return {KIND: kind, **_owners(request), _RECORD: json.dumps(_made_by(request))}


def _owners(request: CreateRequest) -> dict[str, str]:
    return {PREFIX + name: request.labels.get(name, "") for name in OWNERSHIP}


def _made_by(request: CreateRequest) -> dict[str, Any]:
    """Who starts what is made now, and by when it is clear that nobody will."""
    patience = min(request.create_timeout, request.lifetime or request.create_timeout)
    return {
        "client": clients.this_one(),
        "ready_by": datetime.now(UTC).timestamp() + patience,
    }


def _end(request: CreateRequest) -> float:
    label = request.labels.get("expires_at")
    if label is not None:
        return datetime.fromisoformat(label).timestamp()
    return datetime.now(UTC).timestamp() + (request.lifetime or 0.0)


def record_of(labels: Mapping[str, str]) -> dict[str, Any]:
    """What we wrote down, or nothing if that is not ours."""
    try:
        found = json.loads(labels.get(_RECORD, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def ends_at(name: str, record: Mapping[str, Any]) -> datetime | None:
    """When a container's lifetime is over."""
    said = _UNTIL.search(name)
    if said is None:
        return _time(record.get("expires_at"))
    return None if said[2] == "ever" else datetime.strptime(said[2], _MOMENT).replace(tzinfo=UTC)


def sandbox_info(
    container_id: str, name: str, labels: Mapping[str, str], paused: bool = False
) -> SandboxInfo:
    """A container as a sandbox."""
    record = record_of(labels)
    state: SandboxState = "paused" if paused else "running"
    return SandboxInfo(
        id=container_id[:ID_LENGTH],
        provider="docker",
        state=state,
        template=str(record.get("template", "")),
        isolation=str(record.get("isolation", "container")),
        created_at=datetime.fromtimestamp(float(record.get("created_at", 0.0)), UTC),
        expires_at=ends_at(name, record),
        labels=dict(record.get("labels", {})),
        metadata=dict(record.get("metadata", {})),
        workdir=record.get("workdir") or "/home/user",
        user=record.get("user") or "user",
        network=_network(record.get("network")),
        unenforced=tuple(record.get("unenforced", ())),
    )


def _network(said: Any) -> Literal["none", "full"] | tuple[str, ...] | None:
    return tuple(said) if isinstance(said, list) else said


def _time(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def is_abandoned(labels: Mapping[str, str]) -> bool:
    """Whether nobody will start a container any more that was never started."""
    record = record_of(labels)
    ready_by = record.get("ready_by")
    late = isinstance(ready_by, (int, float)) and ready_by < datetime.now(UTC).timestamp()
    return late or clients.is_gone(record.get("client"))


def image_user(labels: Mapping[str, str], said: str) -> str:
    """Whom an image says commands run as; of a snapshot, what the image below it said."""
    if labels.get(KIND) == "snapshot":
        return str(record_of(labels).get("image_user", ""))
    return said


def snapshot_labels(
    request: SnapshotRequest,
    labels: Mapping[str, str],
    user: str,
    created: datetime,
    container_id: str,
) -> dict[str, str]:
    """The labels of an image that is a snapshot.

    Args:
        request: what was asked for.
        labels: of the container.
        user: whom the image below says commands run as.
        created: when.
        container_id: what it is a snapshot of.
    """
    record = {
        "labels": dict(request.labels),
        "name": request.name,
        "created_at": created.timestamp(),
        "expires_at": request.labels.get("expires_at"),
        "template": record_of(labels).get("template", ""),
        "source": container_id[:ID_LENGTH],
        "image_user": user,
    }
    owners = {PREFIX + name: request.labels.get(name, "") for name in OWNERSHIP}
    return {KIND: "snapshot", **owners, _RECORD: json.dumps(record)}


def snapshot_info(snapshot_id: str, labels: Mapping[str, str], size: int | None) -> SnapshotInfo:
    """An image as a snapshot."""
    record = record_of(labels)
    ends = record.get("expires_at")
    return SnapshotInfo(
        id=snapshot_id,
        provider="docker",
        name=record.get("name"),
        created_at=datetime.fromtimestamp(record.get("created_at", 0.0), UTC),
        expires_at=None if ends is None else datetime.fromisoformat(ends),
        size=size,
        labels=dict(record.get("labels", {})),
    )


def is_over(name: str) -> bool:
    """Whether a container's name says that its time is over."""
    ends = ends_at(name, {})
    return ends is not None and ends <= datetime.now(UTC)
