"""The door through which they are found."""

from __future__ import annotations

from collections.abc import Iterator

from sandboxkit.plugins import ProviderInfo, hookimpl

from . import BROKEN, all_names


@hookimpl
def sandboxkit_providers() -> Iterator[ProviderInfo]:
    for name in all_names():
        provider = BROKEN[name].provider
        yield ProviderInfo(
            name=name,
            summary=provider.__doc__ or "",
            capabilities=provider.capabilities,
            load=lambda provider=provider: provider,
        )
