"""Snapshots: images committed from containers, each under a tag of its own."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandboxkit.errors import InvalidRequestError, SnapshotNotFoundError
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest

from . import records
from .engine import Engine
from .errors import Absent, Conflict
from .records import KIND

__all__ = ["Snapshots", "is_over", "reference"]

_REPOSITORY = "sandboxkit-snapshot"


def reference(snapshot_id: str) -> str:
    """A snapshot's name as an image."""
    return f"{_REPOSITORY}:{snapshot_id}"


class Snapshots:
    """The snapshots on an engine.

    Args:
        engine: which.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(self, request: SnapshotRequest, shown: Mapping[str, Any]) -> SnapshotInfo:
        """Commit a container. The engine holds it still meanwhile.

        Args:
            request: what is wanted.
            shown: the container, as the engine shows it.

        Raises:
            InvalidRequestError: the owner has a snapshot of this name.
        """
        await self._check_name(request)
        image = await self._engine.call(
            "snapshot", self._engine.sdk.images.inspect(shown["Image"]), sent=False
        )
        snapshot_id = secrets.token_hex(records.ID_LENGTH // 2)
        config = _image_config(request, shown, image)
        container = self._engine.container(shown["Id"])
        await self._engine.call(
            "snapshot",
            container.commit(repository=_REPOSITORY, tag=snapshot_id, config=config),
        )
        try:
            return await self._settled(snapshot_id, request)
        except BaseException:
            await self.delete(snapshot_id)
            raise

    async def find(self, snapshot_id: str) -> SnapshotInfo:
        """What is known of a snapshot.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        try:
            found = await self._engine.call(
                "snapshot", self._engine.sdk.images.inspect(reference(snapshot_id)), sent=False
            )
        except Absent:
            raise SnapshotNotFoundError(
                f"there is no snapshot {snapshot_id}", hint="sandboxkit snapshot ls"
            ) from None
        labels = (found.get("Config") or {}).get("Labels") or {}
        size = found["Size"]
        with contextlib.suppress(Absent):
            below = await self._engine.call(
                "snapshot", self._engine.sdk.images.inspect(found["Parent"]), sent=False
            )
            size -= below["Size"]
        return records.snapshot_info(snapshot_id, labels, size)

    async def list(self, labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        """Those that carry all of these labels."""
        wanted = [f"{KIND}=snapshot"]
        if "owner" in labels:
            wanted.append(f"sandboxkit.owner={labels['owner']}")
        listed = await self._engine.call(
            "list_snapshots",
            self._engine.sdk.images.list(filters={"label": wanted}),
            sent=False,
        )
        for item in listed:
            for tag in item.get("RepoTags") or ():
                repository, _, snapshot_id = tag.rpartition(":")
                if repository != _REPOSITORY:
                    continue
                info = records.snapshot_info(snapshot_id, item["Labels"], None)
                if _is_over(info):
                    if "owner" in labels:  # only their owner's asking ends them
                        await self.delete(info.id)
                elif labels.items() <= info.labels.items():
                    yield info

    async def delete(self, snapshot_id: str) -> bool:
        """Delete a snapshot; true if it was there.

        What was made from it lives on; the engine keeps the layers until the last of that ends.
        """
        deleting = self._engine.sdk.images.delete(reference(snapshot_id), force=True)
        try:
            await self._engine.call("delete_snapshot", deleting)
        except Absent:
            return False
        return True

    async def drop_unused(self, image_id: str) -> None:
        """Remove the layers of a snapshot that was deleted while something made from it lived."""
        with contextlib.suppress(Absent, Conflict):
            shown = await self._engine.call(
                "kill", self._engine.sdk.images.inspect(image_id), sent=False
            )
            labels = (shown.get("Config") or {}).get("Labels") or {}
            if labels.get(KIND) == "snapshot" and not shown.get("RepoTags"):
                await self._engine.call("kill", self._engine.sdk.images.delete(image_id))

    async def _check_name(self, request: SnapshotRequest) -> None:
        if request.name is not None and await self._named(request):
            raise InvalidRequestError(
                f"there is a snapshot named {request.name!r} already", hint="sandboxkit snapshot ls"
            )

    async def _named(self, request: SnapshotRequest) -> Sequence[SnapshotInfo]:
        owner = {"owner": request.labels.get("owner", "")}
        return [info async for info in self.list(owner) if info.name == request.name]

    async def _settled(self, snapshot_id: str, request: SnapshotRequest) -> SnapshotInfo:
        """The new snapshot, unless another took its name meanwhile: then the later one yields."""
        if request.name is not None:
            first: SnapshotInfo = min(
                await self._named(request), key=lambda info: (info.created_at, info.id)
            )
            if first.id != snapshot_id:
                raise InvalidRequestError(f"there is a snapshot named {request.name!r} already")
        return await self.find(snapshot_id)


def _image_config(
    request: SnapshotRequest, shown: Mapping[str, Any], image: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration of the new image: that of the one below, with nothing of ours but labels.

    What is left out here the engine would take from the container, whose program is the guest.
    """
    below: dict[str, Any] = image.get("Config") or {}
    labels = shown["Config"].get("Labels") or {}
    config = {
        "Entrypoint": below.get("Entrypoint") or [],
        "Cmd": below.get("Cmd") or ["/bin/sh"],
        "User": below.get("User") or "root",
        "StopSignal": below.get("StopSignal") or "SIGTERM",
        "Labels": records.snapshot_labels(
            request, labels, _image_user(below), datetime.now(UTC), shown["Id"]
        ),
    }
    if below.get("Healthcheck"):
        config["Healthcheck"] = below["Healthcheck"]
    return json.loads(json.dumps(config))  # type: ignore[no-any-return]


def is_over(labels: Mapping[str, str]) -> bool:
    """Whether a snapshot's time is over, by its labels."""
    return _is_over(records.snapshot_info("", labels, None))


def _is_over(info: SnapshotInfo) -> bool:
    return info.expires_at is not None and info.expires_at <= datetime.now(UTC)


def _image_user(config: Mapping[str, Any]) -> str:
    return records.image_user(config.get("Labels") or {}, config.get("User") or "")
