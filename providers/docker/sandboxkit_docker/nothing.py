"""An image of nothing, for containers that run what is on our volume and nothing else."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .engine import Engine
from .errors import Absent
from .shielded import finished

__all__ = ["IMAGE", "create"]

IMAGE = "sandboxkit-egress:1"
# Nothing of a sandbox's image may run where there is a network, not even a module of its resolver.
_FILES = {"etc/nsswitch.conf": b"hosts: files dns\n"}


async def create(
    engine: Engine, name: str, config: Mapping[str, Any], undo: Callable[[str], Awaitable[object]]
) -> str:
    """The id of a new container of `IMAGE`, which is made if it is missing.

    Args:
        engine: where.
        name: of the container.
        config: of the container.
        undo: removes it, if whoever waits is cancelled.
    """
    try:
        return await finished(engine.create_container(name, config), undo)
    except Absent:
        await engine.import_image(_archive(), IMAGE)
        return await finished(engine.create_container(name, config), undo)


def _archive() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for name, content in _FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            files.addfile(info, io.BytesIO(content))
    return archive.getvalue()
