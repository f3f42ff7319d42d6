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
from sandboxkit.conformance.survivors import marked_sleep, survivors


def test_inside_a_running_loop(target) -> None:
    async def notebook() -> str:
        with target.create() as sandbox:
            sandbox.files.write("x", "works")
            return sandbox.files.read_text("x")

    assert asyncio.run(notebook()) == "works"


def test_across_two_runs_of_a_loop(target) -> None:
    async def make() -> str:
        sandbox = await target.acreate()
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
def test_a_forked_child_that_leaves_the_block_spares_the_parents_sandbox(target) -> None:
    with target.create() as sandbox:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                sandbox.run("echo hi")
                sandbox.__exit__(None, None, None)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert sandbox.run("echo still here").stdout == "still here\n"


@pytest.mark.needs("commands")
def test_input_that_never_ends_does_not_hang_the_exit(target) -> None:
    script = (
        "import os, sys\nfrom sandboxkit import Sandbox\n"
        "reading, writing = os.pipe()\n"
        "with Sandbox.create(sys.argv[1], session=sys.argv[2], network=sys.argv[3]) as s:\n"
        "    print(s.run('echo done', stdin=os.fdopen(reading, 'rb')).stdout, end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, target.profile, target.session, target.network],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.needs("commands")
def test_many_callbacks_that_wait_on_the_sandbox(target) -> None:
    with target.create() as sandbox:
        seen: list[str] = []

        def inner(text: str) -> None:
            seen.append(text)

        def outer(text: str) -> None:
            sandbox.run("echo inner", on_stdout=inner)

        threads = [
            threading.Thread(target=sandbox.run, args=("echo a",), kwargs={"on_stdout": outer})
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert seen == ["inner\n"] * 40


@pytest.mark.needs("commands")
def test_callbacks_run_in_the_calling_thread(target) -> None:
    with target.create() as sandbox:
        threads: set[str] = set()
        note = lambda _: threads.add(threading.current_thread().name)  # noqa: E731
        sandbox.run("echo a; sleep 0.1; echo b", on_stdout=note)
        assert threads == {threading.current_thread().name}


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
