"""What all tests of the docker provider need: an engine that answers."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from sandboxkit import Sandbox
from tests import engine


@pytest.fixture(autouse=True)
def engine_answers() -> None:
    """Automation never comes here without one, see tests/conftest.py."""
    if engine.why_not():
        pytest.skip(engine.why_not())


@pytest.fixture
def session() -> Iterator[str]:
    """A label for what a test makes; nothing with it may be left."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    left = engine.containers(session=name)
    for info in Sandbox.list("docker", session=name):
        Sandbox.connect(info.address).kill()
    assert not left, [item["State"] for item in left]


@pytest.fixture
def sandbox(session: str) -> Iterator[Sandbox]:
    with Sandbox.create("docker", session=session, lifetime="10m") as made:
        yield made
