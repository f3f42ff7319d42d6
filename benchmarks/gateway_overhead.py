"""What a command through the gateway costs on top of the same command through sandboxkit itself.

The two are interleaved in one run in front of one sandbox, with a third: the same call of the
same client to a server that knows the answer and does nothing, `bare_server.py`. What that takes
is the client's own time, which no gateway could save: the rest of the overhead is the gateway's.
Figures are of this machine, now: only their differences count.
``python benchmarks/gateway_overhead.py [COUNT]``
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from e2b import AsyncSandbox as RemoteSandbox

from sandboxkit import AsyncSandbox, SandboxError

GOAL = 3.0
"""Milliseconds at the median."""
WARMING = 10
BARE = [sys.executable, str(Path(__file__).with_name("bare_server.py"))]
SERVE = [sys.executable, "-m", "sandboxkit.cli", "serve", "--profile", "local", "--port", "0"]

Doing = Callable[[], Coroutine[Any, Any, Any]]


async def timed(doing: Doing) -> float:
    began = time.perf_counter()
    await doing()
    return (time.perf_counter() - began) * 1000


def cpu_of(pid: int) -> float:
    """Milliseconds of cpu that all threads of a process have used, as the scheduler counts."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in tasks) / 1e6


async def raw_start(remote: RemoteSandbox, argv: list[str]) -> None:
    """Start a program by the SDK's own client, without the shell that `commands.run` adds."""
    from e2b.envd.process import process_pb

    config = process_pb.ProcessConfig(cmd=argv[0], args=argv[1:])
    request = process_pb.StartRequest(process=config, stdin=False)
    async for _ in remote.commands._rpc.start(request):
        pass


def calls(remote: RemoteSandbox) -> dict[str, Doing]:
    return {
        "bash -l -c true": lambda: remote.commands.run("true"),
        "/bin/true": lambda: raw_start(remote, ["/bin/true"]),
        "files.read of 1 KiB": lambda: remote.files.read("small", format="bytes"),
    }


def direct_calls(local: AsyncSandbox) -> dict[str, Doing]:
    return {
        "bash -l -c true": lambda: local.run(["/bin/bash", "-l", "-c", "true"]),
        "/bin/true": lambda: local.run(["/bin/true"]),
        "files.read of 1 KiB": lambda: local.files.read_bytes("small"),
    }


async def behind(content: bytes) -> AsyncSandbox:
    """The sandbox whose file `small` has this content: what the gateway's client has in hand."""
    for info in await AsyncSandbox.list("local"):
        with contextlib.suppress(SandboxError, OSError):
            local = await AsyncSandbox.connect(info.address)
            if (
                await local.files.exists("small")
                and await local.files.read_bytes("small") == content
            ):
                return local
            await local.close()
    raise SystemExit("the gateway's sandbox is not found")


async def measure(params: dict[str, Any], bare: str, gateway: int, count: int) -> None:
    remote = await RemoteSandbox.create(**params)
    nobody = await RemoteSandbox.connect(remote.sandbox_id, **{**params, "sandbox_url": bare})
    content = secrets.token_hex(512).encode()
    await remote.files.write("small", content)
    local = await behind(content)
    through, floors = calls(remote), calls(nobody)
    for name, direct in direct_calls(local).items():
        kinds = {"direct": direct, "through": through[name], "floor": floors[name]}
        for doing in list(kinds.values()) * WARMING:
            await doing()
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        used = 0.0
        for _ in range(count):
            for kind, doing in kinds.items():
                before = cpu_of(gateway)
                times[kind].append(await timed(doing))
                used += cpu_of(gateway) - before if kind == "through" else 0.0
        report(name, {kind: statistics.median(taken) for kind, taken in times.items()})
        print(f"{'':22} the gateway's cpu per call: {used / count:.2f} ms")
    await local.close()
    await remote.kill()


def report(name: str, medians: dict[str, float]) -> None:
    direct, through, floor = medians["direct"], medians["through"], medians["floor"]
    print(
        f"{name:22} direct {direct:5.2f} ms  through the gateway {through:5.2f} ms: "
        f"overhead {through - direct:5.2f} ms (goal {GOAL:g}), "
        f"of which the client's own {floor:5.2f} ms, ours {through - direct - floor:5.2f} ms"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with (
        subprocess.Popen(BARE, stdout=subprocess.PIPE, text=True) as bare,
        subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as gateway,
    ):
        assert gateway.stdout is not None
        assert bare.stdout is not None
        lines = "".join(gateway.stdout.readline() for _ in range(4))
        found = dict(re.findall(r"export E2B_(\w+)=(.*)", lines))
        params = {name.lower(): value for name, value in found.items()}
        url = f"http://127.0.0.1:{bare.stdout.readline().strip()}"
        try:
            asyncio.run(measure(params, url, gateway.pid, count))
        finally:
            gateway.terminate()
            bare.terminate()


if __name__ == "__main__":
    main()
