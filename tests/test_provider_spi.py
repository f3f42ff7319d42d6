"""A provider's declaration and its methods must agree."""

from __future__ import annotations

import pytest

from sandboxkit.capabilities import METHODS, Capabilities
from sandboxkit.provider import PathRequest, Provider
from sandboxkit.testing import MemoryProvider


def test_declared_but_not_overridden() -> None:
    with pytest.raises(TypeError, match=r"declares 'code' but does not override 'run_code'"):

        class Lies(MemoryProvider):
            capabilities = Capabilities(
                isolation="none", code=True, file_ops=True, lifetime_update=True, snapshots=True
            )


def test_overridden_but_not_declared() -> None:
    with pytest.raises(TypeError, match=r"overrides 'stat' but does not declare 'file_ops'"):

        class Hides(MemoryProvider):
            capabilities = Capabilities(isolation="none", lifetime_update=True, snapshots=True)


def test_a_name_is_needed() -> None:
    with pytest.raises(TypeError, match="name"):

        class Nameless(Provider):
            capabilities = Capabilities(isolation="none")


def test_every_capability_method_exists() -> None:
    flags = Capabilities(isolation="none").flags()
    for capability, methods in METHODS.items():
        assert capability in flags
        for method in methods:
            assert callable(getattr(Provider, method))


def test_the_base_refuses_with_the_capabilitys_name() -> None:
    import asyncio

    provider = MemoryProvider()
    with pytest.raises(NotImplementedError, match="memory") as caught:
        asyncio.run(Provider.stat(provider, PathRequest(sandbox_id="s", path="/")))
    assert caught.value.capability == "file_ops"


def test_narrower_capabilities() -> None:
    wide = Capabilities(isolation="none", code=True, attach=True)
    assert Capabilities(isolation="none", code=True).is_within(wide)
    assert not Capabilities(isolation="none", users=True).is_within(wide)
