"""The blaxel provider: sandboxes of Blaxel's, by its official SDK, or of what speaks its wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import Check, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from sandboxkit.provider import Provider

__all__ = ["CAPABILITIES", "sandboxkit_providers"]

CAPABILITIES = Capabilities(
    isolation="microvm",
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
    snapshots=True,
    network_full=True,
    limit_memory=True,
    languages=frozenset({"python", "bash"}),
)
"""What it does with Blaxel itself; a profile may narrow it."""


def _load() -> type[Provider]:
    from .provider import BlaxelProvider

    return BlaxelProvider


def _doctor() -> Sequence[Check]:
    from .doctor import checks

    return checks()


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    """This provider."""
    yield ProviderInfo(
        name="blaxel",
        summary="sandboxes of Blaxel, or of a server that speaks its protocol",
        capabilities=CAPABILITIES,
        load=_load,
        doctor=_doctor,
    )
