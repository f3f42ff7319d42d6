"""Output as it comes: callbacks, decoding, back-pressure, processes that live on."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandboxkit import Cursor, InvalidRequestError, ProcessNotFoundError, Sandbox
from sandboxkit.conformance.survivors import marked_sleep, survivors

pytestmark = pytest.mark.needs("commands")


def test_first_chunk_comes_before_the_end(sandbox: Sandbox) -> None:
    seen: list[tuple[str, float]] = []
    began = time.monotonic()
    sandbox.run(
        "echo first; while [ ! -e go ]; do sleep 0.02; done; echo second",
        on_stdout=lambda text: (
            seen.append((text, time.monotonic() - began)),
            sandbox.files.write("go", ""),
        )[0],
        timeout=20,
    )
    assert "".join(text for text, _ in seen) == "first\nsecond\n"
    assert len(seen) >= 2


def test_a_character_split_over_chunks(sandbox: Sandbox) -> None:
    script = r"printf '\303'; sleep 0.2; printf '\274|'; sleep 0.2; printf '\360\237'; sleep 0.2; "
    script += r"printf '\230\200'; printf '\303'"
    pieces: list[str] = []
    result = sandbox.run(script, on_stdout=pieces.append)
    assert "".join(pieces) == "ü|😀\ufffd" == result.stdout


def test_callbacks_of_both_streams_are_serial_and_complete(sandbox: Sandbox) -> None:
    running = 0
    out: list[str] = []
    err: list[str] = []

    def collect(into: list[str]):
        def add(text: str) -> None:
            nonlocal running
            running += 1
            assert running == 1, "two callbacks at once"
            into.append(text)
            running -= 1

        return add

    script = "for i in $(seq 2000); do echo o$i; echo e$i >&2; done"
    sandbox.run(script, on_stdout=collect(out), on_stderr=collect(err))
    assert "".join(out) == "".join(f"o{i}\n" for i in range(1, 2001))
    assert "".join(err) == "".join(f"e{i}\n" for i in range(1, 2001))


def test_async_callbacks_are_awaited(target) -> None:
    async def main() -> str:
        seen: list[str] = []

        async def slowly(text: str) -> None:
            await asyncio.sleep(0.05)
            seen.append(text)

        async with target.acreate() as sandbox:
            await sandbox.run("for i in 1 2 3; do echo $i; sleep 0.01; done", on_stdout=slowly)
        return "".join(seen)

    assert asyncio.run(main()) == "1\n2\n3\n"


def test_a_callback_that_raises_kills_the_command(sandbox: Sandbox) -> None:
    sleep = marked_sleep()

    class EnoughError(Exception):
        pass

    def refuse(_: str) -> None:
        raise EnoughError

    began = time.monotonic()
    with pytest.raises(EnoughError):
        sandbox.run(f"echo x; {sleep}", on_stdout=refuse)
    assert time.monotonic() - began < 3
    assert survivors(sandbox, sleep) == []


def test_a_slow_reader_makes_its_own_command_wait(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            go = asyncio.Event()
            seen = 0

            async def count(text: str) -> None:
                nonlocal seen
                await go.wait()
                seen += len(text)

            piece = "head -c 50000 /dev/zero"
            command = f"for i in $(seq 600); do {piece}; echo $i > reached; done"
            running = asyncio.create_task(sandbox.run(command, on_stdout=count))
            before, reached = "", "0"
            while reached != before or reached == "0":
                await asyncio.sleep(1)
                before = reached
                if await sandbox.files.exists("reached"):
                    reached = await sandbox.files.read_text("reached")
            assert reached.strip() != "600", "it did not wait for its reader"
            go.set()
            result = await running
            assert seen == result.stdout_total == 30000000

    asyncio.run(main())


def test_process_iterates_bytes(sandbox: Sandbox) -> None:
    with sandbox.start(r"printf 'a\377'; printf 'b' >&2; sleep 0.1; printf c") as process:
        streams: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        for chunk in process:
            assert chunk.offset == len(streams[chunk.stream])
            streams[chunk.stream] += chunk.data
        assert streams == {"stdout": b"a\xffc", "stderr": b"b"}
        assert process.wait().exit_code == 0


def test_process_stdin_and_signal(sandbox: Sandbox) -> None:
    with sandbox.start("cat; echo end", stdin=True) as process:
        process.write("one\n")
        process.write(b"two\n")
        process.close_stdin()
        assert process.wait(10).stdout == "one\ntwo\nend\n"
    with sandbox.start("trap 'echo caught; exit 7' USR1; while :; do sleep 0.01; done") as process:
        time.sleep(0.3)
        for wrong in (-1, 999):
            with pytest.raises(InvalidRequestError, match=f"no signal {wrong}"):
                process.signal(wrong)
        process.signal(10)
        result = process.wait(10)
        assert (result.exit_code, result.stdout) == (7, "caught\n")
        with pytest.raises(ProcessNotFoundError):
            process.signal(10)


def test_process_kill_takes_its_tree(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    with sandbox.start(f"setsid {sleep} & {sleep}") as process:
        while len(survivors(sandbox, sleep)) < 2:
            time.sleep(0.05)
        process.kill()
        assert survivors(sandbox, sleep) == []
        assert process.wait(5).signal in (15, 9)
        process.kill()


def test_cancelling_wait_kills_nothing(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    with sandbox.start(sleep) as process:
        with pytest.raises(TimeoutError, match=f"process {process.pid} .* runs on"):
            process.wait(0.2)
        assert len(survivors(sandbox, sleep)) == 1
        process.kill()


def test_started_process_outlives_its_client(target, sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    other = Sandbox.connect(sandbox.address)
    other.start(f"echo hello; {sleep}")
    other.close()
    assert len(survivors(sandbox, sleep)) == 1


@pytest.mark.needs("attach")
def test_attach_replays_from_a_cursor(sandbox: Sandbox) -> None:
    process = sandbox.start("printf 0123456789; while [ ! -e go ]; do sleep 0.02; done; printf end")
    assert next(iter(process)).data == b"0123456789"
    process.close()
    with Sandbox.connect(sandbox.address) as other:
        listed = {one.pid: one for one in other.processes()}
        assert listed[process.pid].running
        again = other.attach(process.pid, Cursor(4, 0))
        sandbox.files.write("go", "")
        assert again.wait(10).stdout == "456789end"
        late = other.attach(process.pid)
        assert late.wait(10).stdout == "0123456789end"
        assert late.wait(10).exit_code == 0
        with pytest.raises(ProcessNotFoundError):
            other.attach(99999)


@pytest.mark.needs("attach")
def test_an_observer_exerts_no_back_pressure(sandbox: Sandbox) -> None:
    script = "while [ ! -e go ]; do sleep 0.02; done; head -c 20000000 /dev/zero; echo x > finished"
    process = sandbox.start(script)
    with Sandbox.connect(sandbox.address) as other:
        watched = other.attach(process.pid)
        sandbox.files.write("go", "")
        assert process.wait(20).stdout_total == 20000000
        chunks = list(watched)
        total = sum(len(chunk.data) for chunk in chunks)
        last = chunks[-1]
        assert last.offset + len(last.data) == 20000000
        assert total <= 20000000


def test_unread_process_never_blocks(sandbox: Sandbox) -> None:
    with sandbox.start("head -c 40000000 /dev/zero; echo x > finished") as process:
        assert process.wait(30).exit_code == 0
        assert sandbox.files.exists("finished")
