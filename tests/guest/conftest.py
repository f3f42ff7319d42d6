from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.rawclient import Agent, RawClient


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """The real agent; a test fails if it has ended by itself or has met a bug of its own."""
    running = Agent(tmp_path)
    try:
        yield running
        assert running.process.poll() is None
    finally:
        running.stop()
    assert running.errors == b""


@pytest.fixture
def client(agent: Agent) -> RawClient:
    return RawClient(agent.first)
