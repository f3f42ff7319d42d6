"""The client is killed with SIGKILL in the middle of things, and nothing is left of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from sandboxkit import Sandbox
from sandboxkit.conformance.nursery import Client
from sandboxkit.conformance.survivors import marked_sleep, survivors

pytestmark = pytest.mark.needs("commands")

LINGER = 5.0
"""Seconds for which a guest keeps what a vanished client may come back for (protocol)."""


@pytest.fixture
def crashing(sandbox_client: Callable[..., Client]) -> Callable[..., Client]:
    """Runs a client that says ``ready`` when the interesting part begins."""

    def run(script: str, *arguments: str) -> Client:
        client = sandbox_client("import sys\nfrom sandboxkit import Sandbox\n" + script, *arguments)
        assert client.stdout.readline() == "ready\n"
        return client

    return run


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes true in time; only tests look again and again."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_in_the_middle_of_create(target, crashing) -> None:
    script = (
        "print('ready', flush=True)\n"
        "profile, session, network = sys.argv[1:]\n"
        "while True: Sandbox.create(profile, session=session, network=network, lifetime=3)\n"
    )
    delays = random.Random(7)
    for _ in range(5):
        child = crashing(script, target.profile, target.session, target.network)
        time.sleep(delays.uniform(0.0, 0.3))
        child.kill()
    assert eventually(lambda: not Sandbox.list(target.profile, session=target.session), 8)


def test_in_the_middle_of_run(target, crashing) -> None:
    sleeps = [marked_sleep(), marked_sleep()]
    script = (
        "s = Sandbox.connect(sys.argv[1])\n"
        "s.run('setsid ' + sys.argv[2] + ' & echo ready; ' + sys.argv[3],\n"
        "      on_stdout=lambda text: print(text, end='', flush=True))\n"
    )
    with target.create() as sandbox:
        child = crashing(script, sandbox.address, *sleeps)
        assert len(survivors(sandbox, sleeps[1])) == 1
        child.kill()
        gone = LINGER + 3
        assert eventually(lambda: not any(survivors(sandbox, sleep) for sleep in sleeps), gone)
        assert sandbox.run("echo lives").stdout == "lives\n"


def test_in_the_middle_of_code(target, crashing) -> None:
    if not target.capabilities.code:
        pytest.fail("a provider with commands is expected to run code")
    sleep = marked_sleep()
    script = (
        "s = Sandbox.connect(sys.argv[1])\n"
        "s.run_code('import subprocess\\nprint(\"ready\", flush=True)\\n'\n"
        "           'subprocess.run(' + repr(sys.argv[2].split()) + ')',\n"
        "           on_stdout=lambda text: print(text, end='', flush=True))\n"
    )
    with target.create() as sandbox:
        sandbox.run_code("kept = 1")
        child = crashing(script, sandbox.address, sleep)
        child.kill()
        assert eventually(lambda: not survivors(sandbox, sleep), LINGER + 5)
        assert sandbox.run_code("kept", timeout=20).text == "1"


def test_in_the_middle_of_upload(target, crashing) -> None:
    script = (
        "s = Sandbox.connect(sys.argv[1])\n"
        "def endless():\n"
        "    yield b'x' * 3000000\n"
        "    print('ready', flush=True)\n"
        "    while True: yield b'x' * 100000\n"
        "s.files.write('target', endless())\n"
    )
    with target.create(files={"target": "old"}) as sandbox:
        child = crashing(script, sandbox.address)
        child.kill()
        assert eventually(
            lambda: [one.name for one in sandbox.files.list()] == ["target"], LINGER + 3
        )
        assert sandbox.files.read_text("target") == "old"


def test_in_the_middle_of_kill(target, crashing) -> None:
    script = (
        "s = Sandbox.connect(sys.argv[1])\nprint('ready', flush=True)\ns.kill()\n"
        "import time; time.sleep(60)\n"
    )
    for delay in (0.0, 0.002, 0.005, 0.05):
        with target.create() as sandbox:
            child = crashing(script, sandbox.address)
            time.sleep(delay)
            child.kill()
            # Whether the kill was on its way or not: it is there in full or gone in full.
            alive = eventually(lambda: not sandbox.is_running(), 1) is False
            if alive:
                assert sandbox.run("echo whole").stdout == "whole\n"
            listed = {info.id for info in Sandbox.list(target.profile, session=target.session)}
            assert (sandbox.id in listed) == alive


def test_what_was_started_outlives_a_killed_client(target, crashing) -> None:
    sleep = marked_sleep()
    script = (
        "s = Sandbox.connect(sys.argv[1])\ns.start(sys.argv[2])\nprint('ready', flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with target.create() as sandbox:
        crashing(script, sandbox.address, sleep).kill()
        time.sleep(LINGER + 1)
        assert len(survivors(sandbox, sleep)) == 1
