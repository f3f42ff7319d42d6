"""The `target` fixture: every check of the contract runs on every provider it applies to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from sandboxkit import Sandbox
from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import provider_info
from tests import engine

_HERE = ("memory", "local") if engine.why_not() else ("memory", "local", "docker")
_CHOSEN = os.environ.get("SANDBOXKIT_TEST_PROVIDERS")
PROVIDERS = tuple(_CHOSEN.split(",")) if _CHOSEN else _HERE


@dataclass(frozen=True)
class Target:
    """A provider under test.

    Attributes:
        profile: what `Sandbox.create` is given.
        capabilities: what it declares.
        session: label of all sandboxes of this test.
    """

    profile: str
    capabilities: Capabilities
    session: str

    def create(self, **options: object) -> Sandbox:
        options.setdefault("session", self.session)
        options.setdefault("lifetime", "10m")
        return Sandbox.create(self.profile, **options)


def _applies(provider: str, item: pytest.Function | pytest.Metafunc) -> bool:
    definition = item.definition if isinstance(item, pytest.Metafunc) else item
    flags = provider_info(provider).capabilities.flags()
    needed = [name for mark in definition.iter_markers("needs") for name in mark.args]
    lacking = [name for mark in definition.iter_markers("without") for name in mark.args]
    unknown = {*needed, *lacking} - flags.keys()
    if unknown:
        raise pytest.UsageError(f"{definition.nodeid}: unknown capability {sorted(unknown)}")
    return all(flags[name] for name in needed) and not any(flags[name] for name in lacking)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        fitting = [name for name in PROVIDERS if _applies(name, metafunc)]
        metafunc.parametrize("target", fitting, indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    name = request.param
    made = Target(name, provider_info(name).capabilities, f"test-{uuid4().hex[:12]}")
    yield made
    left = Sandbox.list(name, session=made.session)
    for info in left:
        with Sandbox.connect(info.address) as sandbox:
            sandbox.kill()
    assert not left, f"the test left sandboxes behind: {[info.address for info in left]}"


@pytest.fixture
def sandbox(target: Target) -> Iterator[Sandbox]:
    with target.create() as made:
        yield made
