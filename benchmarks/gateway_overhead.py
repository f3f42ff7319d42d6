"""What a command through the gateway costs on top of the same command through sandboxkit itself.

The two are interleaved in one run in front of one sandbox. Figures are of this machine, now: only
their difference counts. ``python benchmarks/gateway_overhead.py [COUNT]``
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from typing import Any

from e2b import AsyncSandbox as RemoteSandbox

from sandboxkit import AsyncSandbox

GOAL = 3.0
"""Milliseconds at the median."""


async def timed(doing: Any) -> float:
    began = time.perf_counter()
    await doing
    return (time.perf_counter() - began) * 1000


async def raw_start(remote: RemoteSandbox, argv: list[str]) -> None:
    """Start a program by the SDK's own client, without the shell that `commands.run` adds."""
    from e2b.envd.process import process_pb

    config = process_pb.ProcessConfig(cmd=argv[0], args=argv[1:])
    request = process_pb.StartRequest(process=config, stdin=False)
    async for _ in remote.commands._rpc.start(request):
        pass


async def measure(params: dict[str, Any], count: int) -> None:
    remote = await RemoteSandbox.create(**params)
    (info,) = [one for one in await AsyncSandbox.list("local") if one.metadata == {}]
    local = await AsyncSandbox.connect(info.address)
    login = ["/bin/bash", "-l", "-c", "true"]
    pairs = {
        "bash -l -c true": (
            lambda: local.run(login),
            lambda: remote.commands.run("true"),
        ),
        "/bin/true": (lambda: local.run(["/bin/true"]), lambda: raw_start(remote, ["/bin/true"])),
        "files.read of 1 KiB": (
            lambda: local.files.read_bytes("small"),
            lambda: remote.files.read("small", format="bytes"),
        ),
    }
    await remote.files.write("small", b"x" * 1024)
    for name, (direct, through) in pairs.items():
        here, there = [], []
        for _ in range(5):
            await direct()
            await through()
        for _ in range(count):
            here.append(await timed(direct()))
            there.append(await timed(through()))
        cost = statistics.median(there) - statistics.median(here)
        print(
            f"{name:22} direct {statistics.median(here):6.2f} ms  through the gateway "
            f"{statistics.median(there):6.2f} ms  overhead {cost:5.2f} ms (goal {GOAL:g})"
        )
    await local.close()
    await remote.kill()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--profile", "local", "--port", "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        lines = "".join(gateway.stdout.readline() for _ in range(4))
        found = dict(re.findall(r"export E2B_(\w+)=(.*)", lines))
        params = {name.lower(): value for name, value in found.items()}
        try:
            asyncio.run(measure(params, count))
        finally:
            gateway.terminate()


if __name__ == "__main__":
    main()
