"""A server for the plugin, as weak as E2B's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.conftest import Served, serving


@pytest.fixture(scope="session")
def vendor(private_daemon: None) -> Iterator[Served]:
    with serving("--profile", "local", "--fidelity", "vendor") as served:
        yield served
