"""Code contexts beside a real Jupyter, in one run: `make bench-code`.

Contexts are of a template that preloads IPython, pandas and matplotlib; the kernel is ipykernel,
driven by jupyter_client of the same environment, without a sandbox. Rounds of both are interleaved.
Every result is checked.

Two starts are measured: *forked*, where an interpreter is made for the context, and *prepared*,
where one was made after an earlier context and waited (docs/decisions/0029).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.process_relay import Relay  # noqa: E402
from sandboxkit import AsyncSandbox, Sandbox  # noqa: E402
from tests.code import environments  # noqa: E402

STARTS, CELLS, WARMING = 12, 300, 10

JUPYTER = """
import json, sys, time
from jupyter_client import KernelManager

def cell(client, code):
    ours = client.execute(code, allow_stdin=False)
    text = None
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != ours:
            continue
        if message["msg_type"] == "execute_result":
            text = message["content"]["data"]["text/plain"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            client.get_shell_msg(timeout=60)
            return text

def start(code):
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return manager, client, cell(client, code)

warm = None
for line in sys.stdin:
    what, code, expected = json.loads(line)
    if what == "warm" and warm is None:
        warm = start("1")
    began = time.perf_counter()
    if what == "warm":
        text = cell(warm[1], code)
    else:
        manager, client, text = start(code)
    took = time.perf_counter() - began
    assert text == expected, text
    if what == "start":
        client.stop_channels(); manager.shutdown_kernel(now=True)
    print(took, flush=True)
"""


class Jupyter:
    """A process that drives kernels and times itself."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(environments.data() / "bin" / "python"), "-c", JUPYTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def time(self, what: str, code: str, expected: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, code, expected]) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def timed(function: Callable[[], str | None], expected: str) -> float:
    began = time.perf_counter()
    text = function()
    took = time.perf_counter() - began
    assert text == expected, text
    return took


def report(name: str, ours: list[float], theirs: list[float], goal: float) -> None:
    ratio = statistics.median(theirs) / statistics.median(ours)
    figures = [
        f"{statistics.median(times) * 1e3:9.2f} ms (best {min(times) * 1e3:.2f})"
        for times in (ours, theirs)
    ]
    verdict = "reached" if ratio >= goal else "missed"
    print(f"{name:45} {figures[0]:>28} {figures[1]:>30} {ratio:8.1f}x  goal {goal:.0f}x {verdict}")


def main() -> None:
    options = environments.template(environments.data(), "IPython")
    relay = Relay()  # forks, so before there are threads
    jupyter = Jupyter()
    pandas = "import pandas, matplotlib.pyplot; pandas.DataFrame({'a': [1]}).shape"
    cases = {"1 + 1": ("1 + 1", "2", 100.0), "pandas and matplotlib": (pandas, "(1, 1)", 100.0)}
    with Sandbox.create("local", provider_options=options) as sandbox:

        def fresh(code: str) -> str | None:
            context = sandbox.contexts.create()
            used.append(context)
            return sandbox.run_code(code, context=context).text

        used = [sandbox.contexts.create()]
        print(f"{'':45} {'sandboxkit (namespaces)':>28} {'ipykernel (no sandbox)':>30}")
        for name, (code, expected, goal) in cases.items():
            prepared, forked, theirs = [], [], []
            for _ in range(STARTS):
                theirs.append(jupyter.time("start", code, expected))
                prepared.append(timed(lambda code=code: fresh(code), expected))
                # At once after it, so that none is ready.
                forked.append(timed(lambda code=code: fresh(code), expected))
                while used:
                    sandbox.contexts.remove(used.pop())
            report(f"first result, prepared: {name}", prepared, theirs, goal)
            report(f"first result, forked: {name}", forked, theirs, goal)
        warm(sandbox, jupyter, relay)
    asyncio.run(warm_async(options, jupyter))
    relay.close()
    jupyter.close()


def warm(sandbox: Sandbox, jupyter: Jupyter, relay: Relay) -> None:
    plain = sandbox.contexts.create(env={"SANDBOXKIT_PLAIN": "1"})
    ours, without, theirs, least = [], [], [], []
    for _ in range(CELLS + WARMING):
        ours.append(timed(lambda: sandbox.run_code("1 + 1").text, "2"))
        without.append(timed(lambda: sandbox.run_code("1 + 1", context=plain).text, "2"))
        theirs.append(jupyter.time("warm", "1 + 1", "2"))
        least.append(relay.round_trip())
    report("1 + 1 in a warm context", ours[WARMING:], theirs[WARMING:], 20.0)
    report("1 + 1 without IPython", without[WARMING:], theirs[WARMING:], 20.0)
    report("the floor: three bare processes", least[WARMING:], theirs[WARMING:], 20.0)


async def warm_async(options: dict[str, Any], jupyter: Jupyter) -> None:
    ours, theirs = [], []
    async with AsyncSandbox.create("local", provider_options=options) as sandbox:
        for _ in range(CELLS + WARMING):
            began = time.perf_counter()
            execution = await sandbox.run_code("1 + 1")
            ours.append(time.perf_counter() - began)
            assert execution.text == "2"
            theirs.append(jupyter.time("warm", "1 + 1", "2"))
    report("1 + 1, AsyncSandbox", ours[WARMING:], theirs[WARMING:], 20.0)


main()
