"""Limits on what a container may write: which engines can, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import UnsupportedError

__all__ = ["can_limit", "option"]

# These count only what a container has written itself.
_OWN = ("overlay2", "zfs")
# This one counts the image below too, of which every container is a copy.
_WITH_IMAGE = ("btrfs",)
_NEEDS = "an engine with overlay2 on xfs mounted with pquota, or with btrfs or zfs"


def can_limit(info: Mapping[str, Any]) -> bool:
    """Whether an engine can, as far as it tells.

    Whether quotas are switched on it does not tell; without, it refuses to make the container.

    Args:
        info: what it says of itself.
    """
    driver = info.get("Driver")
    if driver == "overlay2":
        return ["Backing Filesystem", "xfs"] in (info.get("DriverStatus") or ())
    return driver in _OWN + _WITH_IMAGE


def option(info: Mapping[str, Any], size: int, image_size: int) -> dict[str, str]:
    """What an engine is told for a container that may write so much.

    Args:
        info: what it says of itself.
        size: bytes.
        image_size: bytes of its image.

    Raises:
        UnsupportedError: it cannot.
    """
    if not can_limit(info):
        raise UnsupportedError(
            f"this engine's storage driver ({info.get('Driver')}) cannot limit the disk",
            capability="limit_disk",
            hint=_NEEDS,
        )
    return {"size": str(size + image_size if info["Driver"] in _WITH_IMAGE else size)}
