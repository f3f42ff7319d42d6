"""One arena for all attacks that take place in sandboxes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import Census

from .arena import Arena, arena


@pytest.fixture(scope="package")
def field() -> Iterator[Arena]:
    # Not pytest's own, as everybody must be able to walk through it.
    directory = Path(tempfile.mkdtemp(prefix="sandboxkit-attacks-"))
    before = Census.take()
    try:
        with arena(directory) as found:
            yield found
    finally:
        shutil.rmtree(directory)
    left = {
        kind: [one for one in found if str(directory) in str(one)]
        for kind, found in Census.take().since(before).items()
    }
    assert not any(left.values()), left
