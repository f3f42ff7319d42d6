"""Registers the memory provider through the door that every provider uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..capabilities import Capabilities
from ..plugins import ProviderInfo, hookimpl

if TYPE_CHECKING:
    from ..provider import Provider

CAPABILITIES = Capabilities(
    isolation="none",
    commands=False,
    file_ops=True,
    lifetime_update=True,
    lifetime_unlimited=True,
    pause=True,
    pause_lifetime=True,
    pause_on_timeout=True,
    pause_keeps="memory",
    snapshots=True,
    network_none=True,
)


def _load() -> type[Provider]:
    from .memory import MemoryProvider

    return MemoryProvider


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    """The memory provider."""
    yield ProviderInfo(
        name="memory",
        summary="A model that runs nothing: lifecycle, files, snapshots; for tests",
        capabilities=CAPABILITIES,
        load=_load,
    )
