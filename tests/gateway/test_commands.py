"""Commands through E2B's SDK."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from e2b import (
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    TimeoutException,
)
from e2b_code_interpreter import AsyncSandbox, Sandbox

from tests.gateway.conftest import Served


def test_output_exit_code_and_environment(gateway: Served) -> None:
    with Sandbox.create(envs={"FROM_CREATE": "yes"}, **gateway.params) as sandbox:
        got = sandbox.commands.run(
            "echo $FROM_CREATE $FROM_RUN $E2B_SANDBOX_ID; pwd; echo bad >&2", envs={"FROM_RUN": "1"}
        )
        assert got.stdout == f"yes 1 {sandbox.sandbox_id}\n/home/user\n"
        assert (got.stderr, got.exit_code, got.error) == ("bad\n", 0, None)
        with pytest.raises(CommandExitException) as failed:
            sandbox.commands.run("echo out; exit 7")
        assert (failed.value.exit_code, failed.value.stdout) == (7, "out\n")
        assert failed.value.error == "exit status 7"


def test_output_streams_while_the_command_runs(sandbox: Sandbox) -> None:
    seen: list[tuple[float, str]] = []
    began = time.monotonic()
    sandbox.commands.run(
        "echo first; sleep 1; echo second",
        on_stdout=lambda text: seen.append((time.monotonic(), text)),
    )
    assert [text for _, text in seen] == ["first\n", "second\n"]
    assert seen[1][0] - seen[0][0] > 0.7
    assert time.monotonic() - began < 30


def test_large_output_comes_whole(sandbox: Sandbox) -> None:
    got = sandbox.commands.run("head -c 20000000 /dev/zero | tr '\\0' x; printf 'ä€' >&2")
    assert len(got.stdout) == 20_000_000
    assert got.stderr == "ä€"


def test_a_command_ends_with_its_process_and_not_with_its_pipes(sandbox: Sandbox) -> None:
    began = time.monotonic()
    got = sandbox.commands.run("sleep 300 & echo done")
    assert got.stdout == "done\n"
    assert time.monotonic() - began < 20


def test_a_timeout_ends_all_that_was_started(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutException):
        sandbox.commands.run("setsid sleep 4321 & sleep 100", timeout=1)
    left = sandbox.commands.run("sleep 1; ps ax 2>/dev/null || true; cat /proc/[0-9]*/cmdline")
    assert "4321" not in left.stdout


def test_a_process_in_the_background(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("echo here; exec sleep 1000", background=True)
    assert [one.pid for one in sandbox.commands.list()] == [handle.pid]
    listed = sandbox.commands.list()[0]
    assert (listed.cmd, listed.args[-1]) == ("/bin/bash", "echo here; exec sleep 1000")
    again = sandbox.commands.connect(handle.pid)
    assert next(iter(again))[0] == "here\n"  # what was written before is not lost
    assert handle.kill() is True
    with pytest.raises(CommandExitException) as ended:
        again.wait()
    assert (ended.value.exit_code, ended.value.error) == (137, "signal: killed")
    assert sandbox.commands.kill(handle.pid) is False
    assert sandbox.commands.list() == []
    with pytest.raises(NotFoundException):
        sandbox.commands.connect(99999)


def test_input(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("cat", stdin=True, background=True)
    handle.send_stdin("one\n")
    sandbox.commands.send_stdin(handle.pid, b"two\n")
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "one\ntwo\n"
    deaf = sandbox.commands.run("sleep 1000", background=True)
    with pytest.raises(Exception, match="stdin not enabled"):
        sandbox.commands.send_stdin(deaf.pid, "x")
    deaf.kill()


def test_input_as_a_stream(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("wc -c", stdin=True, background=True)
    sandbox.commands.stream_input(handle.pid, (b"x" * 100_000 for _ in range(10)))
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout.strip() == "1000000"


def test_wrong_arguments(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentException, match="does not exist"):
        sandbox.commands.run("true", cwd="/no/such/directory")
    with pytest.raises(AuthenticationException, match="ghost"):
        sandbox.commands.run("true", user="ghost")
    with pytest.raises(InvalidArgumentException, match="NUL"):
        sandbox.commands.run("echo a\0b")


async def _async_use(params: dict[str, Any]) -> None:
    async with await AsyncSandbox.create(**params) as sandbox:
        seen: list[str] = []
        got = await sandbox.commands.run("echo async", on_stdout=seen.append)
        assert (got.stdout, seen) == ("async\n", ["async\n"])
        await sandbox.files.write("a", b"\x00\xff")
        assert await sandbox.files.read("a", format="bytes") == b"\x00\xff"
    assert not await sandbox.is_running()


def test_the_async_sdk(gateway: Served) -> None:
    asyncio.run(_async_use(gateway.params))
