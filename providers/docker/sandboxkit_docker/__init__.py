"""The docker provider: sandboxes that are containers of a Docker Engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import Check, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from sandboxkit.provider import Provider

__all__ = ["CAPABILITIES", "sandboxkit_providers"]

CAPABILITIES = Capabilities(
    isolation="container",
    commands=True,
    attach=True,
    terminals=True,
    users=True,
    code=True,
    file_ops=True,
    trees=True,
    metrics=True,
    watch=True,
    ports=True,
    lifetime_update=True,
    lifetime_unlimited=True,
    idle_timeout=True,
    pause=True,
    pause_lifetime=True,
    pause_keeps="memory",
    snapshots=True,
    network_none=True,
    network_full=True,
    network_rules=True,
    limit_cpu=True,
    limit_memory=True,
    limit_pids=True,
    images=True,
    languages=frozenset({"python", "bash"}),
)
"""What it does on every engine."""


def _load() -> type[Provider]:
    from .provider import DockerProvider

    return DockerProvider


def _doctor() -> Sequence[Check]:
    from .doctor import checks

    return checks()


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    """This provider."""
    yield ProviderInfo(
        name="docker",
        summary="containers of a Docker Engine, from any image",
        capabilities=CAPABILITIES,
        load=_load,
        doctor=_doctor,
    )
