"""Exit codes, output, input, deadlines and cancellation of `run`."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import time
from pathlib import Path

import pytest

from sandboxkit import (
    CommandFailedError,
    CommandTimeoutError,
    InvalidRequestError,
    Sandbox,
)
from sandboxkit.conformance.survivors import marked_sleep, survivors

pytestmark = pytest.mark.needs("commands")


def test_status_is_the_commands(sandbox: Sandbox) -> None:
    for code in (0, 1, 2, 42, 126, 127, 255):
        result = sandbox.run(f"exit {code}")
        assert (result.exit_code, result.signal, result.ok) == (code, None, code == 0)


@pytest.mark.parametrize("number", [1, 2, 6, 9, 11, 15])
def test_a_signal_is_128_plus_n(sandbox: Sandbox, number: int) -> None:
    result = sandbox.run(f"kill -{number} $$")
    assert result.exit_code == 128 + number
    assert result.signal == number
    assert not result.ok


def test_unknown_program(sandbox: Sandbox) -> None:
    assert sandbox.run("no-such-program-here").exit_code == 127
    listed = sandbox.run(["no-such-program-here"])
    assert listed.exit_code == 127
    assert "no-such-program-here" in listed.stderr


def test_a_program_that_may_not_run(sandbox: Sandbox) -> None:
    sandbox.files.write("plain", "data", mode=0o644)
    assert sandbox.run(["./plain"]).exit_code == 126


def test_streams_are_apart_and_byte_for_byte(sandbox: Sandbox) -> None:
    result = sandbox.run(r"printf '\377\376ok'; printf 'err\0\200' >&2")
    assert result.stdout_bytes == b"\xff\xfeok"
    assert result.stderr_bytes == b"err\x00\x80"
    assert result.stdout == "\ufffd\ufffdok"


def test_argument_list_sees_no_shell(sandbox: Sandbox) -> None:
    words = ["a b", "$HOME", "*", "'\"", "", "-n", "ü\n"]
    result = sandbox.run(["printf", "%s\\0", *words])
    assert result.stdout.split("\0")[:-1] == words


def test_text_is_bash_without_login(sandbox: Sandbox) -> None:
    result = sandbox.run("[[ 1 == 1 ]] && shopt -q login_shell || echo ${BASH_VERSION:+bash}")
    assert result.stdout == "bash\n"


def test_cwd_env_and_user_defaults(sandbox: Sandbox) -> None:
    assert sandbox.run("pwd").stdout.strip() == "/home/user"
    assert sandbox.run("id -u").stdout.strip() == "1000"
    assert sandbox.run("echo $HOME $USER").stdout == "/home/user user\n"
    assert sandbox.run("pwd", cwd="/tmp").stdout == "/tmp\n"
    assert sandbox.run("echo $X-$Y", env={"X": "1 2", "Y": "ü'\""}).stdout == "1 2-ü'\"\n"
    assert sandbox.run("echo ${X-unset}").stdout == "unset\n"


def test_sandbox_env_and_workdir(target) -> None:
    with target.create(env={"A": "1", "B": "2"}, workdir="/tmp") as sandbox:
        assert sandbox.run("echo $A$B", env={"B": "3"}).stdout == "13\n"
        assert sandbox.run("pwd").stdout == "/tmp\n"
        sandbox.files.write("rel.txt", "x")
        assert sandbox.run("cat /tmp/rel.txt").stdout == "x"


def test_nothing_of_the_caller_is_inherited(sandbox: Sandbox, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "hunter2")
    assert "hunter2" not in sandbox.run("env").stdout
    assert sandbox.run("ls /proc/self/fd | wc -l").stdout.strip() == "4"  # 0, 1, 2, and ls's own


def test_missing_cwd(sandbox: Sandbox) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-dir"):
        sandbox.run("true", cwd="/no-such-dir")


@pytest.mark.needs("users")
def test_unknown_user(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidRequestError, match="nobody-here"):
        sandbox.run("true", user="nobody-here")


@pytest.mark.needs("users")
def test_other_user(sandbox: Sandbox) -> None:
    assert sandbox.run("id -u; id -g", user="root").stdout == "0\n0\n"
    assert sandbox.run("grep CapEff /proc/self/status", user="root").stdout.split()[1] == "0" * 16


def test_bad_arguments_start_nothing(sandbox: Sandbox) -> None:
    for bad in ("", [], [""], "a\0b", ["echo", "a\0b"]):
        with pytest.raises(InvalidRequestError):
            sandbox.run(bad)
    for timeout in (-1, 0, "soon", float("nan"), float("inf")):
        with pytest.raises(InvalidRequestError, match="timeout"):
            sandbox.run("true", timeout=timeout)
    with pytest.raises(InvalidRequestError):
        sandbox.run("true", env={"A=B": "x"})
    with pytest.raises(InvalidRequestError):
        sandbox.run("true", cwd="a\0b")
    wrong = (None, 5, b"true", ["a", 1])
    for bad in wrong:
        with pytest.raises(InvalidRequestError):
            sandbox.run(bad)
    for options in (
        {"env": {"A": 1}},
        {"timeout": []},
        {"timeout": 1e12},
        {"stdin": 5},
        {"on_stdout": 5},
        {"max_output": "x"},
        {"cwd": 5},
    ):
        with pytest.raises(InvalidRequestError) as caught:
            sandbox.run("touch started", **options)
        assert (caught.value.op, caught.value.provider) == ("run", sandbox.provider)
        assert caught.value.sandbox_id == sandbox.id
    assert not sandbox.files.exists("started")
    with pytest.raises(InvalidRequestError):
        sandbox.run("cat", stdin=[b"a", None], timeout=10)


def test_check_raises_with_the_result(sandbox: Sandbox) -> None:
    with pytest.raises(CommandFailedError, match="no luck") as caught:
        sandbox.run("echo out; echo no luck >&2; exit 3", check=True)
    assert caught.value.result.exit_code == 3
    assert caught.value.result.stdout == "out\n"
    assert caught.value.outcome == "completed"
    assert sandbox.run("true", check=True).ok


def test_stdin_is_empty_unless_given(sandbox: Sandbox) -> None:
    began = time.monotonic()
    assert sandbox.run("cat; echo done").stdout == "done\n"
    assert time.monotonic() - began < 5


def test_stdin_of_every_kind(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"from a file")

    async def pieces():
        yield b"a"
        yield b"b"

    assert sandbox.run("cat", stdin="text ü").stdout == "text ü"
    assert sandbox.run("cat", stdin=b"\0\xff").stdout_bytes == b"\0\xff"
    assert sandbox.run("cat", stdin=file).stdout == "from a file"
    assert sandbox.run("cat", stdin=[b"1", b"2"]).stdout == "12"
    assert sandbox.run("cat", stdin=pieces()).stdout == "ab"
    with file.open("rb") as opened:
        assert sandbox.run("cat", stdin=opened).stdout == "from a file"
    with pytest.raises(FileNotFoundError):
        sandbox.run("cat", stdin=tmp_path / "missing", timeout=10)


def test_fifty_megabytes_of_stdin(sandbox: Sandbox) -> None:
    block = bytes(range(256)) * 4096
    content = [block] * 50
    expected = hashlib.sha256(b"".join(content)).hexdigest()
    result = sandbox.run("sha256sum; sleep 0.1", stdin=content, timeout=60)
    assert result.stdout.split()[0] == expected


def test_stdin_nobody_reads(sandbox: Sandbox) -> None:
    result = sandbox.run("echo early; exit 4", stdin=[b"x" * 65536] * 100, timeout=30)
    assert (result.stdout, result.exit_code) == ("early\n", 4)


def test_timeout_keeps_output_and_leaves_nothing(sandbox: Sandbox) -> None:
    sleeps = [marked_sleep() for _ in range(4)]
    script = (
        f"{sleeps[0]} & setsid {sleeps[1]} & (trap '' TERM; setsid {sleeps[2]}) & "
        f"echo partial; {sleeps[3]}"
    )
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError) as caught:
        sandbox.run(script, timeout=1.5)
    assert 1.4 < time.monotonic() - began < 2.5
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.result.stdout == "partial\n"
    assert error.result.applied_timeout == 1.5
    assert error.result.timed_out
    assert [survivors(sandbox, sleep) for sleep in sleeps] == [[], [], [], []]


def test_timeout_of_what_hides(sandbox: Sandbox) -> None:
    """Two forks, a session of its own, an empty environment: nothing of it is left either."""
    sleep = marked_sleep()
    program = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execve('/bin/sleep', {sleep.split()!r}, {{}})\n"
        "    os._exit(0)\n"
        "print('hidden', flush=True)\n"
        "time.sleep(300)\n"
    )
    sandbox.files.write("hide.py", program)
    with pytest.raises(CommandTimeoutError) as caught:
        sandbox.run("python3 hide.py", timeout=1.5)
    assert caught.value.result.stdout == "hidden\n"
    assert survivors(sandbox, sleep) == []


def test_out_of_memory_is_told_apart(target) -> None:
    with target.create() as sandbox:
        assert not sandbox.run("kill -KILL $$").oom
        if not sandbox.capabilities.limit_memory:
            return
    with target.create(resources={"memory": "150MiB"}) as sandbox:
        result = sandbox.run(["python3", "-c", "b = bytearray(300 << 20)"])
        assert (result.exit_code, result.signal, result.oom) == (137, 9, True)
        waited = sandbox.run("python3 -c 'b = bytearray(300 << 20)'; exit $?")
        assert (waited.exit_code, waited.oom) == (137, True)
        assert not sandbox.run("kill -KILL $$").oom
        assert sandbox.run("echo alive").stdout == "alive\n"


def test_a_long_script(sandbox: Sandbox) -> None:
    result = sandbox.run("echo " + "x" * 200_000)
    assert (result.exit_code, result.stdout_total) == (0, 200_001)


def test_timeout_of_what_ignores_sigterm(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError) as caught:
        sandbox.run(f"trap '' TERM; echo here; {sleep}; {sleep}", timeout=0.5)
    assert time.monotonic() - began < 2.5
    assert caught.value.result.exit_code == 137
    assert survivors(sandbox, sleep) == []


def test_a_fast_command_is_not_delayed_by_its_timeout(sandbox: Sandbox) -> None:
    began = time.monotonic()
    assert sandbox.run("echo fast", timeout=60).stdout == "fast\n"
    assert time.monotonic() - began < 5


def test_background_child_does_not_hold_the_call(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    script = f"(trap 'echo ended > ended' EXIT; {sleep}; true) & echo started"
    began = time.monotonic()
    result = sandbox.run(script)
    assert time.monotonic() - began < 0.5
    assert result.stdout == "started\n"
    assert len(survivors(sandbox, sleep, exactly=True)) == 1


def test_background_writer_does_not_die_of_sigpipe(sandbox: Sandbox) -> None:
    # It writes more than any pipe holds, after `run` has returned.
    script = "(while [ ! -e go ]; do sleep 0.05; done; head -c 3000000 /dev/zero; echo $? > rc) &"
    assert sandbox.run(script).ok
    sandbox.files.write("go", "")
    wait = "while [ ! -s rc ]; do sleep 0.05; done; cat rc"
    assert sandbox.run(wait, timeout=20).stdout == "0\n"


def test_output_right_before_the_exit_is_all_there(sandbox: Sandbox) -> None:
    for size in (1, 65536, 1_000_003):
        result = sandbox.run(f"head -c {size} /dev/zero; head -c {size} /dev/zero >&2")
        assert (result.stdout_total, result.stderr_total) == (size, size)


def test_a_hundred_mebibytes_with_bounded_memory(sandbox: Sandbox) -> None:
    # A warm-up, so that the high-water mark is of the transfer itself.
    sandbox.run("head -c 20M /dev/zero")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = 0

    def count(text: str) -> None:
        nonlocal seen
        seen += len(text)

    result = sandbox.run("head -c 100M /dev/zero; echo end", on_stdout=count, timeout=90)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert seen == result.stdout_total == (100 << 20) + 4
    assert result.stdout_truncated
    assert len(result.stdout_bytes) == 16 << 20
    assert result.stdout_bytes.endswith(b"\0end\n")
    assert grown < 64 << 10, f"{grown} KiB more than before"  # the 16 MiB tail, twice, and slack
    # On the other side the first process of the sandbox is what serves it, where there is a guest.
    peak = int(sandbox.run("grep VmHWM /proc/1/status", check=True).stdout.split()[1])
    assert peak < 64 << 10, f"the sandbox's first process took {peak} KiB"


def test_max_output_keeps_the_tail(sandbox: Sandbox) -> None:
    result = sandbox.run("seq 1 100000; echo e >&2", max_output=1000)
    assert result.exit_code == 0
    assert result.stdout.endswith("\n99999\n100000\n")
    assert len(result.stdout_bytes) == 1000
    assert result.stdout_truncated
    assert not result.stderr_truncated
    assert result.stdout_total == 588895


def test_cancel_leaves_nothing(target) -> None:
    sleeps = [marked_sleep(), marked_sleep()]

    async def main() -> None:
        async with target.acreate() as sandbox:
            script = f"setsid {sleeps[0]} & {sleeps[1]}"
            task = asyncio.create_task(sandbox.run(script))
            await asyncio.sleep(1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.2
            facade = Sandbox.connect(sandbox.address)
            try:
                assert [survivors(facade, sleep) for sleep in sleeps] == [[], []]
            finally:
                facade.close()

    asyncio.run(main())


def test_cancel_at_any_moment(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            sleep = marked_sleep()
            for step in range(30):
                task = asyncio.create_task(sandbox.run(sleep))
                await asyncio.sleep(step * 0.0005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with Sandbox.connect(sandbox.address) as facade:
                assert survivors(facade, sleep) == []

    asyncio.run(main())


def test_fifty_at_once_beside_a_stalled_one(target) -> None:
    """Exit codes, bytes, deadlines and cancellation hold while a sibling is not read at all."""

    async def main() -> None:
        async with target.acreate() as sandbox:
            never = asyncio.Event()

            async def stall(_: str) -> None:
                await never.wait()

            stalled = asyncio.create_task(sandbox.run("yes stalled", on_stdout=stall))
            sleep = marked_sleep()

            async def one(number: int) -> None:
                kind = number % 5
                if kind == 0:
                    assert (await sandbox.run("kill -TERM $$")).exit_code == 143
                elif kind == 1:
                    result = await sandbox.run(r"printf '\377\376ok'")
                    assert result.stdout_bytes == b"\xff\xfeok"
                elif kind == 2:
                    began = time.monotonic()
                    with pytest.raises(CommandTimeoutError) as caught:
                        await sandbox.run(f"echo partial; {sleep}", timeout=1.5)
                    assert caught.value.result.stdout == "partial\n"
                    assert time.monotonic() - began < 6
                elif kind == 3:
                    began = time.monotonic()
                    assert (await sandbox.run("sleep 20 & echo started")).stdout == "started\n"
                    assert time.monotonic() - began < 5
                else:
                    task = asyncio.create_task(sandbox.run(sleep))
                    await asyncio.sleep(1)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task

            await asyncio.gather(*(one(number) for number in range(50)))
            assert not stalled.done()
            stalled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stalled
            with Sandbox.connect(sandbox.address) as facade:
                assert survivors(facade, sleep) == []
                assert survivors(facade, "yes stalled") == []

    asyncio.run(main())
