"""The daytona provider: sandboxes of Daytona's, by its SDK, or of what speaks its protocol."""

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
    watch=True,
    ports=True,
    port_urls=True,
    metrics=True,
    lifetime_update=True,
    lifetime_unlimited=True,
    pause=True,
    pause_lifetime=True,
    pause_keeps="filesystem",
    snapshots=True,
    network_none=True,
    network_full=True,
    network_rules=True,
    limit_cpu=True,
    limit_memory=True,
    limit_disk=True,
    images=True,
    languages=frozenset({"python", "bash"}),
)
"""What it does with Daytona itself; a profile may narrow it."""


def _load() -> type[Provider]:
    from .provider import DaytonaProvider

    return DaytonaProvider


def _doctor() -> Sequence[Check]:
    from .doctor import checks

    return checks()


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    """This provider."""
    yield ProviderInfo(
        name="daytona",
        summary="sandboxes of Daytona, or of a server that speaks its protocol",
        capabilities=CAPABILITIES,
        load=_load,
        doctor=_doctor,
    )
