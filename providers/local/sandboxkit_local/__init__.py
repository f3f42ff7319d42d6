"""The local provider: sandboxes made of Linux namespaces on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import Check, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from sandboxkit.provider import Provider

__all__ = ["CAPABILITIES", "sandboxkit_providers"]

CAPABILITIES = Capabilities(
    isolation="namespaces",
    commands=True,
    attach=True,
    terminals=True,
    users=True,
    code=True,
    file_ops=True,
    trees=True,
    mounts=True,
    watch=True,
    metrics=True,
    lifetime_update=True,
    lifetime_unlimited=True,
    fork=True,
    idle_timeout=True,
    pause=True,
    pause_lifetime=True,
    pause_on_timeout=True,
    pause_keeps="memory",
    ports=True,
    snapshots=True,
    network_none=True,
    network_rules=True,
    limit_cpu=True,
    limit_memory=True,
    limit_disk=True,
    limit_pids=True,
    languages=frozenset({"python", "bash", "javascript", "typescript"}),
)
"""What it does where everything is allowed; an instance may declare less."""


def _load() -> type[Provider]:
    from .provider import LocalProvider

    return LocalProvider


def _doctor() -> Sequence[Check]:
    from .doctor import checks

    return checks()


def _trial() -> Sequence[Check]:
    from .enforcement import checks

    return checks()


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    """This provider."""
    yield ProviderInfo(
        name="local",
        summary="Linux namespaces on this machine, started in milliseconds",
        capabilities=CAPABILITIES,
        load=_load,
        doctor=_doctor,
        trial=_trial,
    )
