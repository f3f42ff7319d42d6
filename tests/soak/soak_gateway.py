"""Two hundred sandboxes and five hundred streams through one gateway: none lost, none mixed up.

Run by ``make soak-gateway``, not with the suite.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.gateway.conftest import serving
from tests.gateway.crowd import Crowd

SANDBOXES = int(os.environ.get("SANDBOXKIT_SOAK_SANDBOXES", "200"))
STREAMS = int(os.environ.get("SANDBOXKIT_SOAK_STREAMS", "500"))


@pytest.mark.timeout(900)
def test_a_crowd_at_one_gateway(private_daemon: None) -> None:
    with serving("--profile", "local") as served:
        seen = asyncio.run(Crowd(served, SANDBOXES, STREAMS).run())
    print(
        f"\n{SANDBOXES} sandboxes made and written to in {seen.created:.1f} s; {STREAMS} streams"
        f" open after {seen.gathered:.1f} s, all said in {seen.spoken:.1f} s; wrong streams"
        f" {seen.wrong}, lost sandboxes {seen.missing}; the gateway held at most"
        f" {seen.resident >> 20} MiB and {seen.descriptors} descriptors"
    )
    assert (seen.wrong, seen.missing) == (0, 0)
    assert seen.resident < 1 << 30
