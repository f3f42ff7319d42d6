"""`sandboxkit logs`, against the real thing."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from sandboxkit import Sandbox
from tests.cli.person import COMMAND


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.create("local", lifetime="10m") as made:
        yield made


def logs(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([COMMAND, "logs", *words], capture_output=True, timeout=60)


def test_both_streams_byte_for_byte(sandbox: Sandbox) -> None:
    sandbox.start(r"printf 'a\377b'; printf c >&2").wait(20)
    done = logs(sandbox.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\xffb", b"c")


def test_one_that_runs_on_does_not_hold_it_up(sandbox: Sandbox) -> None:
    process = sandbox.start("echo so far; sleep 100")
    next(iter(process))
    assert logs(sandbox.address).stdout == b"so far\n"
    silent = sandbox.start("sleep 100")
    assert logs(sandbox.address, str(silent.pid)).stdout == b""


def test_following_to_the_end(sandbox: Sandbox) -> None:
    process = sandbox.start("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two")
    with subprocess.Popen(
        [COMMAND, "logs", "-f", sandbox.address], stdout=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"one\n"
        sandbox.files.write("go", "")
        assert following.stdout.read() == b"two\n"
        assert following.wait(30) == 0
    assert process.wait(20).stdout == "one\ntwo\n"


def test_to_stop_following_ends_nothing(sandbox: Sandbox) -> None:
    process = sandbox.start("echo one; sleep 100")
    with subprocess.Popen(
        [COMMAND, "logs", "-f", sandbox.address], stdout=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
    assert [one.running for one in sandbox.processes() if one.pid == process.pid] == [True]


def test_the_last_mebibyte(sandbox: Sandbox) -> None:
    sandbox.start("seq 1000000").wait(30)
    kept = logs(sandbox.address).stdout
    assert kept.endswith(b"999999\n1000000\n")
    assert 1 << 20 <= len(kept) < 1_200_000


def test_several_are_listed(sandbox: Sandbox) -> None:
    first = sandbox.start("echo first; exit 3")
    first.wait(20)
    second = sandbox.pty("echo second; sleep 100")
    next(iter(second))
    lines = logs(sandbox.address).stdout.decode().splitlines()
    assert lines[0].split() == ["PID", "STATE", "TERMINAL", "AGE", "COMMAND"]
    assert lines[1].split()[:3] == [str(first.pid), "exited", "3"]
    assert lines[2].split()[:3] == [str(second.pid), "running", "yes"]
    assert logs(sandbox.address, str(second.pid)).stdout == b"second\r\n"
    listed = json.loads(logs(sandbox.address, "--json").stdout)
    assert [(one["pid"], one["exit_code"], one["stdout_total"]) for one in listed] == [
        (first.pid, 3, 6),
        (second.pid, None, 8),
    ]
    told = json.loads(logs(sandbox.address, str(second.pid), "--json").stdout)
    assert (told["running"], told["stdout"], told["stderr"]) == (True, "second\r\n", "")


def test_what_cannot_be(sandbox: Sandbox) -> None:
    done = logs(sandbox.address)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no process" in done.stderr
    done = logs(sandbox.address, "99")
    assert done.returncode == 1
    assert b"no process 99" in done.stderr
    assert f"try: sandboxkit logs {sandbox.address}".encode() in done.stderr
    assert logs("local:nosuchbox").returncode == 1
    assert logs(sandbox.address, "x").returncode == 2
