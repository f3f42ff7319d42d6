"""What this suite does not measure at all, so that nobody takes silence for a result."""

from __future__ import annotations

from .samples import Missing

__all__ = ["absent"]


def absent() -> list[Missing]:
    """The scenarios and the contenders that are not there."""
    return [
        Missing("disk-cold starts", "the page cache is not evicted"),
        Missing("inspect_ai docker", "no adapter is written for it (it needs docker compose)"),
    ]
