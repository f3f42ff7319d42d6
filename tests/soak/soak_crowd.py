"""Two hundred busy sandboxes, and one beside them that takes all it can get: none is disturbed.

Run by ``make soak``, not with the suite.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sandboxkit.errors import SandboxError
from sandboxkit.provider import (
    CreateRequest,
    KillRequest,
    ProviderSettings,
    ReadFileRequest,
    StartRequest,
)
from sandboxkit_local.provider import LocalProvider
from tests.local.conftest import state  # noqa: F401 - fixture
from tests.local.harness import KIND, run

CROWD = int(os.environ.get("SANDBOXKIT_SOAK_CROWD", "200"))
PATIENCE = 60.0
"""Seconds in which a command must be through on two cores that two hundred share."""

WORK = """
import hashlib, os, time
count = 0
while True:
    hashlib.sha256(b"x" * 100_000).digest()
    count += 1
    with open("count.new", "w") as file:
        file.write(str(count))
    os.rename("count.new", "count")
    time.sleep(0.02)
"""

GREED = {
    "processes": "import os\nwhile True: os.fork()",
    "memory": "b = []\nwhile True: b.append(b'x' * (1 << 20))",
    "memory files": "import os\nf = os.memfd_create('f')\nwhile os.write(f, bytes(9**7)): 1",
    "disk": "f = open('/tmp/full', 'wb', 0)\nwhile f.write(bytes(1 << 20)): pass",
    "inodes": "import os\nfor n in range(10**6): os.mknod(f'/tmp/{n}')",
    "descriptors": "import os\nwhile True: os.dup(0)",
    "depth": "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
    "processor": "while True: pass",
}


def limits() -> dict[str, Any]:
    """All that can be limited here."""
    found: dict[str, Any] = {"pids": 64, "disk": 16 << 20}
    if KIND == "root":
        found |= {"memory": 96 << 20, "cpu": 0.5}
    return found


async def counted(provider: LocalProvider, sandbox_id: str) -> int:
    request = ReadFileRequest(sandbox_id=sandbox_id, path="/home/user/count")
    return int(b"".join([chunk async for chunk in provider.read_file(request)]))


async def greedy(provider: LocalProvider, program: str) -> str:
    """Let one sandbox take all it can; says how it ended."""
    request = CreateRequest(nonce=uuid4().hex, lifetime=600.0, **limits())
    info = await provider.create(request)
    try:
        async with asyncio.timeout(20):
            ran = await run(provider, info.id, ("python", "-c", program))
        return f"exit {ran.code}"
    except TimeoutError:
        return "still at it"
    except SandboxError as error:
        return type(error).__name__
    finally:
        await provider.kill(KillRequest(sandbox_id=info.id))


async def scene() -> None:
    provider = LocalProvider(ProviderSettings())
    began = time.monotonic()
    requests = [CreateRequest(nonce=uuid4().hex, lifetime=1200.0) for _ in range(CROWD)]
    infos = await asyncio.gather(*(provider.create(request) for request in requests))
    print(f"\n{CROWD} created in {time.monotonic() - began:.1f} s")
    for info in infos:
        await provider.start(StartRequest(sandbox_id=info.id, command=("python", "-c", WORK)))
    async with asyncio.timeout(120):
        for info in infos:
            while (await run(provider, info.id, "test -e count")).code != 0:
                await asyncio.sleep(0.2)  # nothing tells of a file that is not there yet
    print(f"all busy after {time.monotonic() - began:.1f} s")
    for name, program in GREED.items() if KIND == "root" else bounded():
        before = await asyncio.gather(*(counted(provider, info.id) for info in infos))
        end = await greedy(provider, program)
        after = await asyncio.gather(*(counted(provider, info.id) for info in infos))
        stalled = [b for b, a in zip(before, after, strict=True) if a <= b]
        least = min(a - b for b, a in zip(before, after, strict=True))
        print(f"{name}: {end}; the slowest of the others did {least} rounds of work meanwhile")
        assert not stalled, f"{name}: {len(stalled)} did nothing"
        async with asyncio.timeout(PATIENCE):
            said = await asyncio.gather(*(run(provider, info.id, "echo well") for info in infos))
        assert {one.stdout for one in said} == {"well\n"}
    await asyncio.gather(*(provider.kill(KillRequest(sandbox_id=info.id)) for info in infos))
    await provider.aclose()


def bounded() -> list[tuple[str, str]]:
    """What is bounded without control groups."""
    return [(name, GREED[name]) for name in ("processes", "disk", "inodes", "descriptors", "depth")]


@pytest.mark.timeout(1800)
def test_a_neighbour_that_exhausts_its_limits_disturbs_nobody(
    state: Path,  # noqa: F811
) -> None:
    asyncio.run(scene())
