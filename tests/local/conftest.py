"""A daemon of its own for every test module."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit.provider import ProviderSettings
from sandboxkit_local import paths
from sandboxkit_local.provider import LocalProvider
from tests.leaks import Census
from tests.local.harness import Harness, stop_daemon


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory; when the tests are done, nothing of its daemon may be left."""
    directory = tmp_path_factory.mktemp("state")
    before = Census.take(directory)
    old = os.environ.get(paths.STATE_VARIABLE)
    os.environ[paths.STATE_VARIABLE] = str(directory)
    try:
        yield directory
    finally:
        stop_daemon(paths.locate(directory))
        if old is None:
            del os.environ[paths.STATE_VARIABLE]
        else:
            os.environ[paths.STATE_VARIABLE] = old
    left = Census.take(directory).since(before)
    left.pop("files", None)
    assert not left


@pytest.fixture
def local(state: Path) -> Iterator[Harness]:
    """The provider; what was made is killed afterwards."""
    with asyncio.Runner() as runner:

        async def make() -> LocalProvider:
            return LocalProvider(ProviderSettings())

        harness = Harness(paths.locate(), runner, runner.run(make()))
        yield harness
        for sandbox_id in harness.made:
            harness.kill(sandbox_id)
        harness.do(harness.provider.aclose())
