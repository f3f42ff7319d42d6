"""Processes through `GuestProvider` and a real guest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from sandboxkit.errors import (
    ExecLostError,
    PathNotFoundError,
    ProcessNotFoundError,
    SandboxNotFoundError,
)
from sandboxkit.models import Cursor, OutputChunk
from sandboxkit.provider import (
    AttachRequest,
    Closed,
    Exited,
    Gap,
    KillRequest,
    PathRequest,
    ProcessEvent,
    ProcessStream,
    SandboxRequest,
    StartRequest,
)

from .client_unsandboxed import sandbox

PYTHON = sys.executable
COUNT = "import sys\nfor n in range(300_000): sys.stdout.write(f'{n:09d}\\n')"


def counted(lines: int = 300_000) -> bytes:
    return b"".join(b"%09d\n" % number for number in range(lines))


async def events(process: ProcessStream) -> list[ProcessEvent]:
    return [event async for event in process.events()]


def output(of: list[ProcessEvent], stream: str = "stdout") -> bytes:
    chunks = [event for event in of if isinstance(event, OutputChunk) and event.stream == stream]
    place = chunks[0].offset if chunks else 0
    for chunk in chunks:
        assert chunk.offset == place
        place += len(chunk.data)
    return b"".join(chunk.data for chunk in chunks)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_events_in_order() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            command = "printf out; printf err >&2; exit 3"
            process = await provider.start(StartRequest(sandbox_id=sid, command=command))
            assert process.pid > 1
            got = await events(process)
            assert output(got) == b"out"
            assert output(got, "stderr") == b"err"
            assert got[-2:] == [Exited(3), Closed()]

    asyncio.run(main())


def test_a_signal_is_no_exit_code() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(StartRequest(sandbox_id=sid, command=("sleep", "60")))
            await process.signal(signal.SIGINT)
            assert await events(process) == [Exited(None, signal.SIGINT), Closed()]
            with pytest.raises(ProcessNotFoundError):
                await process.signal(signal.SIGINT)
            with pytest.raises(BrokenPipeError):
                await process.send_stdin(b"x")

    asyncio.run(main())


def test_errors_of_start() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = StartRequest(sandbox_id=sid, command="true", cwd="/no/such")
            with pytest.raises(PathNotFoundError) as caught:
                await provider.start(request)
            assert caught.value.op == "start"
            assert caught.value.provider == "unsandboxed"
            assert caught.value.sandbox_id == sid

    asyncio.run(main())


@pytest.mark.parametrize("cuts", [1, 20])
def test_a_cut_connection_loses_and_doubles_nothing(cuts: int) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(
                StartRequest(sandbox_id=sid, command=(PYTHON, "-c", COUNT))
            )
            want = counted()
            got: list[ProcessEvent] = []
            size = 0
            at = [len(want) * (n + 1) // (cuts + 1) for n in range(cuts)]
            async for event in process.events():
                got.append(event)
                assert not isinstance(event, Gap)
                if isinstance(event, OutputChunk):
                    size += len(event.data)
                    if at and size >= at[0] and provider.cut():
                        del at[0]
            assert not at
            assert provider.dials == cuts + 1
            assert hashlib.sha256(output(got)).digest() == hashlib.sha256(want).digest()
            assert [e for e in got if isinstance(e, Exited)] == [Exited(0)]
            assert got[-1] == Closed()

    asyncio.run(main())


def test_what_was_on_its_way_when_the_connection_broke_is_sent_again() -> None:
    """The guest keeps a whole window beyond what it sent, however its reads are aligned."""

    async def main() -> None:
        async with sandbox() as (provider, sid):
            zeros = "head -c {} /dev/zero; sleep 0.2;"
            command = f"printf x; sleep 0.2; {zeros.format(20_000)} {zeros.format(3_000_000)}"
            process = await provider.start(StartRequest(sandbox_id=sid, command=command))
            stream = process.events()
            got = [await anext(stream)]
            provider.transports[0].pause_reading()
            await asyncio.sleep(0.8)
            provider.cut()
            got += [event async for event in stream]
            assert not [event for event in got if isinstance(event, Gap)]
            assert output(got) == b"x" + bytes(3_020_000)

    asyncio.run(main())


def test_a_stalled_consumer_keeps_its_process_through_a_cut() -> None:
    """The link is mended when it breaks, not when somebody looks: the guest lingers 5 s only."""

    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(
                StartRequest(sandbox_id=sid, command=(PYTHON, "-c", COUNT))
            )
            stream = process.events()
            got = [await anext(stream)]
            provider.cut()
            await asyncio.sleep(6)
            got += [event async for event in stream]
            assert output(got) == counted()
            assert got[-2:] == [Exited(0), Closed()]

    asyncio.run(main())


def test_terminate_ends_descendants_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            pids = tmp_path / "pids"
            command = (
                f"setsid sleep 61 & echo $! >> {pids}; sleep 62 & echo $! >> {pids}; echo; wait"
            )
            process = await provider.start(StartRequest(sandbox_id=sid, command=command))
            reading = asyncio.create_task(events(process))
            while not pids.exists() or len(pids.read_text().split()) < 2:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            await process.terminate()
            assert time.monotonic() - began < 1
            children = [int(pid) for pid in pids.read_text().split()]
            assert not any(alive(pid) for pid in (process.pid, *children))
            assert Exited(None, signal.SIGTERM) in await reading
            await process.terminate()

    asyncio.run(main())


def test_terminate_works_when_the_connection_broke() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(StartRequest(sandbox_id=sid, command=("sleep", "60")))
            provider.cut()
            began = time.monotonic()
            await process.terminate()
            assert not alive(process.pid)
            assert time.monotonic() - began < 1
            assert (await events(process))[0] == Exited(None, signal.SIGTERM)

    asyncio.run(main())


def test_much_input_in_little_memory() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = StartRequest(sandbox_id=sid, command=("sha256sum",), stdin=True)
            process = await provider.start(request)
            block = os.urandom(1 << 20)
            digest = hashlib.sha256()
            before = memory()
            for _ in range(50):
                await process.send_stdin(block)
                digest.update(block)
            await process.close_stdin()
            got = await events(process)
            assert output(got).split()[0].decode() == digest.hexdigest()
            assert memory() - before < 16 << 20

    asyncio.run(main())


def test_input_waits_for_a_reader_and_breaks_without_one() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = StartRequest(sandbox_id=sid, command="exec sleep 60", stdin=True)
            process = await provider.start(request)
            sending = asyncio.create_task(process.send_stdin(bytes(4 << 20)))
            done, _ = await asyncio.wait([sending], timeout=0.3)
            assert not done
            await process.terminate()
            with pytest.raises(BrokenPipeError):
                await sending
            await process.close_stdin()

    asyncio.run(main())


def test_much_output_in_little_memory() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            command = ("head", "-c", str(100 << 20), "/dev/zero")
            before = memory()
            process = await provider.start(StartRequest(sandbox_id=sid, command=command))
            size = 0
            async for event in process.events():
                if isinstance(event, OutputChunk):
                    assert event.offset == size
                    size += len(event.data)
            assert size == 100 << 20
            assert memory() - before < 16 << 20

    asyncio.run(main())


def test_a_stalled_consumer_does_not_disturb_its_siblings() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            stalled = await provider.start(StartRequest(sandbox_id=sid, command=("yes",)))
            stream = stalled.events()
            await anext(stream)

            async def one(number: int) -> None:
                command = ("sh", "-c", f"head -c 500000 /dev/zero; echo {number}")
                process = await provider.start(StartRequest(sandbox_id=sid, command=command))
                got = await events(process)
                assert output(got) == bytes(500000) + b"%d\n" % number

            began = time.monotonic()
            await asyncio.gather(*(one(number) for number in range(50)))
            assert time.monotonic() - began < 10
            await stalled.terminate()

    asyncio.run(main())


def test_cancelled_iteration_leaves_the_connection_usable() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(StartRequest(sandbox_id=sid, command=("sleep", "60")))
            reading = asyncio.create_task(events(process))
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await provider.stat(PathRequest(sandbox_id=sid, path="/"))
            assert provider.dials == 1
            await process.terminate()

    asyncio.run(main())


def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = StartRequest(sandbox_id=sid, command=f"echo $$ > {tmp_path}/pid; sleep 60")
            starting = asyncio.create_task(provider.start(request))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            deadline = time.monotonic() + 2
            while any(
                p.running for p in await provider.list_processes(SandboxRequest(sandbox_id=sid))
            ):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

    asyncio.run(main())


def test_attach_and_list() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            command = "echo one; echo two; read x; echo $x"
            request = StartRequest(sandbox_id=sid, command=command, stdin=True, bound=False)
            process = await provider.start(request)
            stream = process.events()
            first = b""
            while first != b"one\ntwo\n":
                event = await anext(stream)
                assert isinstance(event, OutputChunk)
                first += event.data
            attach = AttachRequest(sandbox_id=sid, pid=process.pid, cursor=Cursor(stdout=4))
            observer = await provider.attach(attach)
            await process.send_stdin(b"three\n")
            got = await events(observer)
            assert output(got) == b"two\nthree\n"
            assert got[-2:] == [Exited(0), Closed()]
            (listed,) = await provider.list_processes(SandboxRequest(sandbox_id=sid))
            assert (listed.pid, listed.running, listed.exit_code) == (process.pid, False, 0)
            assert listed.command == command
            with pytest.raises(ProcessNotFoundError):
                await provider.attach(AttachRequest(sandbox_id=sid, pid=2**22 + 5))

    asyncio.run(main())


def test_detached_processes_live_on() -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            request = StartRequest(sandbox_id=sid, command=(PYTHON, "-c", COUNT), bound=False)
            process = await provider.start(request)
            await process.detach()
            await process.detach()
            assert [event async for event in process.events()] == []
            observer = await provider.attach(AttachRequest(sandbox_id=sid, pid=process.pid))
            assert Exited(0) in await events(observer)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["killed", "expired", "oom"])
def test_a_process_of_a_sandbox_that_ended_is_lost_with_the_cause(how: str) -> None:
    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(
                StartRequest(sandbox_id=sid, command=("cat", "/dev/zero"))
            )
            reading = asyncio.create_task(events(process))
            await asyncio.sleep(0.05)
            if how == "killed":
                assert await provider.kill(KillRequest(sandbox_id=sid))
            else:
                await provider.die(sid, how)  # type: ignore[arg-type]
            began = time.monotonic()
            with pytest.raises(ExecLostError) as caught:
                await reading
            assert time.monotonic() - began < 1
            assert caught.value.cause == how
            assert caught.value.outcome == "unknown"
            with pytest.raises(SandboxNotFoundError) as gone:
                await provider.start(StartRequest(sandbox_id=sid, command="true"))
            assert gone.value.cause == how
            await process.terminate()
            assert not await provider.kill(KillRequest(sandbox_id=sid))

    asyncio.run(main())


def test_a_forked_child_dials_for_itself() -> None:
    async def in_child(provider, sid: str) -> bool:  # type: ignore[no-untyped-def]
        process = await provider.start(StartRequest(sandbox_id=sid, command="echo child"))
        got = await events(process)
        await provider.aclose()
        return output(got) == b"child\n" and provider.dials == 2

    async def main() -> None:
        async with sandbox() as (provider, sid):
            process = await provider.start(
                StartRequest(sandbox_id=sid, command="read x; echo $x", stdin=True)
            )
            child = os.fork()
            if not child:
                code = 1
                try:
                    asyncio._set_running_loop(None)
                    code = 0 if asyncio.run(in_child(provider, sid)) else 2
                finally:
                    os._exit(code)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            await process.send_stdin(b"parent\n")
            assert output(await events(process)) == b"parent\n"
            assert provider.dials == 1

    asyncio.run(main())
