"""What is left of guests on an engine whose client was killed while it brought them there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiodocker.volumes import DockerVolume

from . import clients
from .engine import Engine
from .errors import Absent, Conflict
from .records import KIND, PREFIX

__all__ = ["CONTENT", "GUEST_CONTENT", "GUEST_HOLDER", "GUEST_IMAGE", "labels", "sweep"]

CONTENT = PREFIX + "content"
"""The label of the published volume that says which volume is full."""
GUEST_CONTENT = "guest-content"
"""A volume that is filled, or full."""
GUEST_HOLDER = "guest-holder"
"""A container that it is filled through."""
GUEST_IMAGE = "guest-image"
"""An empty image that this container is made of."""
_CLIENT = PREFIX + "client"
_STALE = timedelta(hours=1)  # nobody takes so long to fill one


def labels(kind: str) -> dict[str, str]:
    """What marks a thing as this client's: it is nobody's once this client is gone."""
    return {KIND: kind, _CLIENT: json.dumps(clients.this_one())}


async def sweep(engine: Engine) -> None:
    """Remove what was never published, or is published no more, and whose client is gone.

    Clients on other machines are taken for gone after an hour.
    """
    for container in await engine.list_containers({KIND: GUEST_HOLDER}):
        if _is_gone(container["Labels"], _by_seconds(container)):
            await engine.remove(container["Id"])
    listing = engine.sdk.images.list(filters={"label": [f"{KIND}={GUEST_IMAGE}"]})
    for image in await engine.call("create", listing, sent=False):
        if _is_gone(image["Labels"], _by_seconds(image)):
            with contextlib.suppress(Absent, Conflict):
                await engine.call("create", engine.sdk.images.delete(image["Id"]))
    listed = await engine.call("create", engine.sdk.volumes.list(), sent=False)
    for name in _unused(listed["Volumes"] or ()):
        with contextlib.suppress(Absent, Conflict):
            volume: Any = DockerVolume
            await engine.call("create", volume(engine.sdk, name).delete())


def _unused(volumes: Iterable[Mapping[str, Any]]) -> list[str]:
    labelled = [(volume, volume.get("Labels") or {}) for volume in volumes]
    published = {labels.get(CONTENT) for _, labels in labelled}
    return [
        volume["Name"]
        for volume, labels in labelled
        if labels.get(KIND) == GUEST_CONTENT
        and volume["Name"] not in published
        and _is_gone(labels, datetime.fromisoformat(volume["CreatedAt"]))
    ]


def _by_seconds(item: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(item["Created"], UTC)


def _is_gone(labels: Mapping[str, str], made: datetime) -> bool:
    try:
        client = json.loads(labels.get(_CLIENT, ""))
    except ValueError:
        client = None
    return clients.is_gone(client) or datetime.now(UTC) - made > _STALE
