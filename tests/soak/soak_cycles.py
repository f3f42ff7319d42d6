"""A thousand sandboxes whose clients are killed at any moment, and nothing of them is left.

Run by ``make soak``, not with the suite.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import select
import signal
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.errors import SandboxError
from sandboxkit.provider import CreateRequest, KillRequest, ProviderSettings
from sandboxkit_local.daemon.prepared import KEPT
from sandboxkit_local.provider import LocalProvider
from tests.leaks import Census
from tests.local.conftest import local, state  # noqa: F401 - fixtures
from tests.local.harness import Harness, eventually, run

CYCLES = int(os.environ.get("SANDBOXKIT_SOAK_CYCLES", "1000"))
AT_ONCE = 4
LIFETIME = 3.0
MARK = f"1000.{secrets.randbelow(10**12)}"
LONGEST = 0.12
"""Seconds after which a client is killed at the latest; most are through by then."""


async def cycle() -> None:
    """What one client does: make a sandbox, use it, kill it."""
    provider = LocalProvider(ProviderSettings())
    info = await provider.create(CreateRequest(nonce=uuid4().hex, lifetime=LIFETIME))
    script = f"setsid sleep {MARK} > /dev/null 2>&1 & echo $$ > f; cat f"
    assert (await run(provider, info.id, script)).code == 0
    await provider.kill(KillRequest(sandbox_id=info.id))
    await provider.aclose()


def client() -> int:
    """A process that goes through one cycle; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        asyncio.run(cycle())
        status = 0
    except SandboxError:
        status = 2
    finally:
        os._exit(status)


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[os.readlink(entry).partition(":")[0]] += 1
    return found


def left_running() -> list[int]:
    """Processes of the sandboxes' own, which have lost their parents and their session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if MARK.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@pytest.mark.timeout(1800)
def test_nothing_is_left_of_clients_that_are_killed(
    local: Harness,  # noqa: F811
    state: Path,  # noqa: F811
) -> None:
    chance = random.Random(os.environ.get("SANDBOXKIT_SOAK_SEED", "7"))
    local.kill(local.create(options={"prepared": False}).id)  # the zygote is warm
    local.do(local.provider.aclose())
    daemon = local.daemon_pid()
    local.do(local.provider.aclose())
    before, before_open = Census.take(state), descriptors(daemon)
    ends: Counter[str] = Counter()
    begun = 0
    running: dict[int, tuple[int, float]] = {}
    while begun < CYCLES or running:
        while begun < CYCLES and len(running) < AT_ONCE:
            pid = client()
            # Some live to the end.
            wait = chance.uniform(0, LONGEST) if chance.random() < 0.8 else 60.0
            running[os.pidfd_open(pid)] = pid, time.monotonic() + wait
            begun += 1
        soonest = min(deadline for _, deadline in running.values())
        ready, _, _ = select.select([*running], [], [], max(0.0, soonest - time.monotonic()))
        now = time.monotonic()
        for pidfd, (pid, deadline) in list(running.items()):
            if pidfd not in ready:
                if deadline > now:
                    continue
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ends[{0: "through", -signal.SIGKILL: "killed"}.get(code, f"failed: {code}")] += 1
            os.close(pidfd)
            del running[pidfd]
    eventually(lambda: local.ask("ping")["sandboxes"] == 0, LIFETIME + 30)
    assert local.daemon_pid() == daemon
    local.do(local.provider.aclose())
    print(f"\n{begun} clients: {dict(ends)}")
    assert set(ends) == {"through", "killed"}
    assert min(ends.values()) > CYCLES // 20
    eventually(lambda: descriptors(daemon) == before_open, KEPT + 30)  # the prepared one's too
    eventually(lambda: not Census.take(state).since(before), 10)
    eventually(lambda: not left_running(), 10)
