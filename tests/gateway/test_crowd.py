"""Many at once, in small; ``make soak-gateway`` does it with ten times as many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.gateway.conftest import Served, serving
from tests.gateway.crowd import Crowd


@pytest.fixture
def empty(private_daemon: None) -> Iterator[Served]:
    """A gateway that nobody used before, whose memory tells something."""
    with serving("--profile", "local") as served:
        yield served


def test_none_is_lost_and_none_hears_another(empty: Served) -> None:
    seen = asyncio.run(Crowd(empty, 20, 50).run())
    print(seen)
    assert (seen.wrong, seen.missing) == (0, 0)
    assert seen.resident < 400 << 20
