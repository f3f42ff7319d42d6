"""The blocking facade: notebooks, threads, forks, two loops, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sandboxkit import AsyncSandbox
from tests.contract.survivors import marked_sleep, survivors


def test_inside_a_running_loop(target) -> None:
    async def notebook() -> str:
        with target.create() as sandbox:
            sandbox.files.write("x", "works")
            return sandbox.files.read_text("x")

    assert asyncio.run(notebook()) == "works"


def test_across_two_runs_of_a_loop(target) -> None:
    async def make() -> str:
        sandbox = await AsyncSandbox.create(target.profile, session=target.session)
        await sandbox.files.write("x", "1")
        await sandbox.close()
        return sandbox.address

    async def find(address: str) -> str:
        async with await AsyncSandbox.connect(address) as sandbox:
            text = await sandbox.files.read_text("x")
            await sandbox.kill()
            return text

    assert asyncio.run(find(asyncio.run(make()))) == "1"


def test_from_many_threads(target) -> None:
    results: list[str] = []

    def work(number: int) -> None:
        with target.create() as sandbox:
            sandbox.files.write("n", str(number))
            results.append(sandbox.files.read_text("n"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=int) == [str(number) for number in range(10)]


@pytest.mark.needs("commands")
def test_after_a_fork(target) -> None:
    with target.create() as sandbox:
        sandbox.files.write("x", "parent's")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                text = sandbox.files.read_text("x") + sandbox.run("echo child").stdout
                os.write(writer, text.encode())
                os._exit(0)
            except BaseException as error:
                os.write(writer, repr(error).encode())
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        assert (said, status) == ("parent'schild\n", 0)
        assert sandbox.run("echo still here").stdout == "still here\n"


@pytest.mark.needs("commands")
def test_a_forked_childs_exit_spares_the_parents_sandbox(target) -> None:
    with target.create() as sandbox:
        sandbox.files.write("x", "1")
        script = "import sys; sys.exit(0)"
        child = os.fork()
        if child == 0:
            os.execv(sys.executable, [sys.executable, "-c", script])
        os.waitpid(child, 0)
        assert sandbox.run("cat x").stdout == "1"


@pytest.mark.needs("commands")
def test_ctrl_c_cancels_the_command(target) -> None:
    sleep = marked_sleep()
    with target.create() as sandbox:
        script = (
            "import sys, time\nfrom sandboxkit import Sandbox\n"
            "s = Sandbox.connect(sys.argv[1])\n"
            "try:\n    s.run('echo ready; ' + sys.argv[2], "
            "on_stdout=lambda t: print(t, end='', flush=True))\n"
            "except KeyboardInterrupt:\n    print('interrupted', flush=True)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", script, sandbox.address, sleep],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < 1.5
        assert survivors(sandbox, sleep) == []
        child.stdout.close()
        assert child.wait(20) == 0


@pytest.mark.needs("commands")
def test_a_callback_may_block_and_use_the_sandbox(target) -> None:
    with target.create() as sandbox:
        seen: list[str] = []
        sandbox.run(
            "echo a", on_stdout=lambda text: seen.append(sandbox.run("echo b").stdout + text)
        )
        assert seen == ["b\na\n"]
