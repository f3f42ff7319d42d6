"""What a pause keeps, whose time stands still, and what a paused sandbox answers."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from sandboxkit import (
    AsyncSandbox,
    CodeTimeoutError,
    CommandTimeoutError,
    ExecLostError,
    Sandbox,
    SandboxNotFoundError,
    SandboxPausedError,
)

pytestmark = pytest.mark.needs("pause")


def test_what_a_paused_sandbox_answers(target, sandbox) -> None:
    sandbox.files.write("kept", "1")
    with Sandbox.connect(sandbox.address) as other:
        assert other.files.read_text("kept") == "1"
        before = sandbox.info().expires_at
        info = sandbox.pause()
        assert info.state == "paused"
        assert info.expires_at != before
        if target.capabilities.pause_lifetime:
            left = info.expires_at - datetime.now(UTC)
            assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
        else:
            assert info.expires_at is None
        assert sandbox.info().state == other.info().state == "paused"
        assert not sandbox.is_running()
        (listed,) = Sandbox.list(target.profile, session=target.session)
        assert listed.state == "paused"
        assert Sandbox.list(target.profile, session=target.session, state="paused") == [listed]
        assert Sandbox.list(target.profile, session=target.session, state="running") == []
        for use in (
            lambda: sandbox.files.read_text("kept"),
            lambda: other.files.read_text("kept"),
            lambda: other.run("true"),
            lambda: other.files.write("late", "1"),
            sandbox.snapshot,
        ):
            start = time.monotonic()
            with pytest.raises(SandboxPausedError) as caught:
                use()
            assert caught.value.outcome == "not_started"
            assert caught.value.provider == target.profile
            assert "resume()" in str(caught.value)
            assert "connect(" in str(caught.value)
            assert time.monotonic() - start < 2
        assert other.resume().state == "running"
        assert sandbox.is_running()
        assert sandbox.files.read_text("kept") == "1"
        assert not other.files.exists("late")


def test_pausing_and_resuming_twice_is_no_error(sandbox) -> None:
    assert sandbox.resume().state == "running"
    first = sandbox.pause()
    second = sandbox.pause()
    assert first.state == second.state == "paused"
    sandbox.resume()
    assert sandbox.resume().state == "running"


@pytest.mark.needs("pause_lifetime")
def test_the_end_of_a_pause_can_be_given_and_moved(sandbox) -> None:
    first = sandbox.pause(lifetime="1h").expires_at
    left = first - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    second = sandbox.pause(lifetime="3h").expires_at
    assert second - first > timedelta(hours=1, minutes=59)


def test_bad_lifetimes_of_a_pause(sandbox) -> None:
    for bad in (0, -1, "soon", float("nan")):
        with pytest.raises(ValueError, match="pause"):
            sandbox.pause(lifetime=bad)
    assert sandbox.is_running()
    assert sandbox.pause(lifetime=None).expires_at is None
    sandbox.resume()


def test_connect_resumes_or_not(sandbox) -> None:
    sandbox.files.write("kept", "1")
    sandbox.pause()
    with Sandbox.connect(sandbox.address, resume=False) as other:
        assert other.info().state == "paused"
        with pytest.raises(SandboxPausedError):
            other.files.read_text("kept")
    with Sandbox.connect(sandbox.address) as other:
        assert other.is_running()
        assert other.files.read_text("kept") == "1"
    assert sandbox.is_running()


def test_kill_of_a_paused_sandbox_is_verified(target, sandbox) -> None:
    sandbox.pause()
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert Sandbox.list(target.profile, session=target.session) == []
    with pytest.raises(SandboxNotFoundError):
        Sandbox.connect(sandbox.address)
    for use in (sandbox.pause, sandbox.resume):
        with pytest.raises(SandboxNotFoundError):
            use()


@pytest.mark.needs("commands", keeps="memory")
def test_kill_of_a_process_in_a_pause_does_not_wait(sandbox) -> None:
    process = sandbox.start("sleep 300")
    sandbox.pause()
    start = time.monotonic()
    with pytest.raises(SandboxPausedError):
        process.kill()
    assert time.monotonic() - start < 2
    sandbox.resume()
    assert process.wait(timeout=10).signal is not None


def test_with_kills_a_paused_sandbox(target) -> None:
    with target.create() as sandbox:
        if sandbox.capabilities.pause:
            sandbox.pause()
    assert Sandbox.list(target.profile, session=target.session) == []


@pytest.mark.needs("commands", keeps="filesystem")
def test_a_pause_that_keeps_files_alone_ends_what_runs(sandbox) -> None:
    process = sandbox.start("echo begun; touch running; sleep 300")
    assert next(iter(process)).data == b"begun\n"
    sandbox.run_code("n = 1")
    for round_ in range(2):
        sandbox.files.write("kept", str(round_))
        assert sandbox.pause().state == "paused"
        sandbox.resume()
        assert sandbox.files.read_text("kept") == str(round_)
        assert sandbox.files.exists("running")
    with pytest.raises(ExecLostError) as caught:
        process.wait(timeout=10)
    assert caught.value.outcome == "unknown"
    assert not any(info.running for info in sandbox.processes())
    assert sandbox.run_code("n").error.name == "NameError"


@pytest.mark.needs("commands", keeps="memory")
def test_ten_pauses_lose_nothing(sandbox) -> None:
    counter = sandbox.start("i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
    sandbox.run_code("n = 0")
    seen: list[str] = []
    streaming = threading.Thread(
        target=lambda: sandbox.run(
            "for i in $(seq 0 199); do echo $i; sleep 0.02; done", on_stdout=seen.append
        )
    )
    streaming.start()
    for round_ in range(10):
        sandbox.files.write(f"file-{round_}", str(round_))
        sandbox.pause()
        time.sleep(0.05)
        sandbox.resume()
        assert sandbox.run_code("n += 1; n").text == str(round_ + 1)
        assert sandbox.run("cat file-*").stdout == "".join(map(str, range(round_ + 1)))
    streaming.join(30)
    assert "".join(seen).split() == [str(number) for number in range(200)]
    numbers = []
    for chunk in counter:
        numbers += chunk.data.split()
        if len(numbers) >= 200:
            break
    assert [int(number) for number in numbers[:200]] == list(range(200))
    counter.kill()


@pytest.mark.needs("commands", keeps="memory")
def test_a_timeout_does_not_run_out_in_a_pause(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            if not sandbox.capabilities.pause:
                return
            other = await AsyncSandbox.connect(sandbox.address)
            began = asyncio.Event()
            start = time.monotonic()
            runs = [
                asyncio.create_task(
                    one.run("echo on; sleep 300", timeout=3, on_stdout=lambda _: began.set())
                )
                for one in (sandbox, other)
            ]
            code = asyncio.create_task(
                other.run_code("import time\nwhile True: time.sleep(0.1)", timeout=3)
            )
            await began.wait()
            await asyncio.sleep(1)
            await sandbox.pause()
            await asyncio.sleep(7)  # longer than the timeout and the host's own guard
            assert not any(task.done() for task in (*runs, code))
            await sandbox.resume()
            for task in runs:
                with pytest.raises(CommandTimeoutError) as caught:
                    await task
                assert caught.value.outcome == "completed"
                assert caught.value.result.stdout == "on\n"
            with pytest.raises(CodeTimeoutError):
                await code
            assert time.monotonic() - start > 9
            assert (await sandbox.run("echo after", timeout=3)).stdout == "after\n"
            await other.close()

    asyncio.run(main())


@pytest.mark.needs("commands", keeps="memory")
def test_an_upload_in_flight_stands_still_and_goes_on(target) -> None:
    content = bytes(range(256)) * 4096 * 20
    half = asyncio.Event

    async def main() -> None:
        async with target.acreate() as sandbox:
            if not sandbox.capabilities.pause:
                return
            sent, go_on = half(), half()

            async def chunks() -> AsyncIterator[bytes]:
                for at in range(0, len(content), 65_536):
                    if at >= len(content) // 2:
                        sent.set()
                        await go_on.wait()
                    yield content[at : at + 65_536]

            upload = asyncio.create_task(sandbox.files.write("big", chunks()))
            await sent.wait()
            await sandbox.pause()
            go_on.set()
            await asyncio.sleep(0.3)
            assert not upload.done()
            await sandbox.resume()
            await upload
            assert (await sandbox.run("sha256sum big")).stdout.split()[0] == hashlib.sha256(
                content
            ).hexdigest()

    asyncio.run(main())


@pytest.mark.needs("attach", keeps="memory")
def test_a_process_that_another_client_follows(sandbox) -> None:
    process = sandbox.start("for i in $(seq 0 149); do echo $i; sleep 0.02; done")
    script = (
        "import sys\nfrom sandboxkit import Sandbox\n"
        "with Sandbox.connect(sys.argv[1]) as s:\n"
        "    p = s.attach(int(sys.argv[2]))\n"
        "    print('ready', flush=True)\n"
        "    print(p.wait(60).stdout.split() == [str(n) for n in range(150)])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, sandbox.address, str(process.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for _ in range(3):
        sandbox.pause()
        time.sleep(0.2)
        sandbox.resume()
    said, _ = child.communicate(timeout=60)
    assert said == "True\n"
    assert child.returncode == 0


@pytest.mark.needs("commands", keeps="memory")
def test_a_run_cancelled_in_a_pause_leaves_no_process(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            if not sandbox.capabilities.pause:
                return
            began = asyncio.Event()
            run = asyncio.create_task(
                sandbox.run("echo on; exec sleep 300", on_stdout=lambda _: began.set())
            )
            await began.wait()
            await sandbox.pause()
            start = time.monotonic()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert time.monotonic() - start < 2
            await sandbox.resume()
            left = await sandbox.run("sleep 1.5; pgrep -x sleep | grep -v $$ | wc -l")
            assert left.stdout.strip() == "0"

    asyncio.run(main())
