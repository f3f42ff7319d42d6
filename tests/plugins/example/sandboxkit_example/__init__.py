"""Test only: a provider that isolates nothing, described."""

from collections.abc import Iterable

from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import ProviderInfo, hookimpl
from sandboxkit.provider import Provider

CAPABILITIES = Capabilities(isolation="none", network_full=True)


def load() -> type[Provider]:
    from .provider import ExampleProvider

    return ExampleProvider


@hookimpl
def sandboxkit_providers() -> Iterable[ProviderInfo]:
    yield ProviderInfo("example", "Test only: isolates nothing", CAPABILITIES, load)
