"""Terminals: what a person at one expects, and every byte."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import time

import pytest

from sandboxkit import (
    InvalidRequestError,
    Process,
    Sandbox,
    TerminalSize,
    UnsupportedError,
)
from sandboxkit.conformance.survivors import marked_sleep, survivors

pytestmark = pytest.mark.timeout(60)


class Screen:
    """Reads a terminal until something is on it; remembers how far it has looked."""

    def __init__(self, terminal: Process) -> None:
        self.terminal = terminal
        self._chunks = iter(terminal)
        self._seen = b""

    def until(self, text: bytes) -> bytes:
        """Everything up to and with `text`; the test's time limit ends a wait in vain."""
        while text not in self._seen:
            self._seen += next(self._chunks).data
        before, found, self._seen = self._seen.partition(text)
        return before + found


def shell(sandbox: Sandbox, **options: object) -> tuple[Process, Screen]:
    """An interactive shell whose prompt is not in anything that is typed."""
    terminal = sandbox.pty(["bash", "--norc"], env={"PS1": "ready> ", "TERM": "dumb"}, **options)
    screen = Screen(terminal)
    screen.until(b"ready> ")
    return terminal, screen


@pytest.mark.needs("terminals")
def test_it_is_a_terminal(sandbox: Sandbox) -> None:
    script = "tty; stty size; test -t 0 -a -t 1 -a -t 2; echo $?; echo e >&2; env | grep TERM"
    terminal = sandbox.pty(script, size=(33, 101))
    result = terminal.wait(20)
    name, _, rest = result.stdout.partition("\r\n")
    assert name.startswith("/dev/pts/")
    assert rest == "33 101\r\n0\r\ne\r\nTERM=xterm-256color\r\n"
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.needs("terminals")
def test_the_environment_names_another_kind(sandbox: Sandbox) -> None:
    assert sandbox.pty("echo $TERM", env={"TERM": "dumb"}).wait(20).stdout == "dumb\r\n"


@pytest.mark.needs("terminals")
@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_it_exits_as_any_process(sandbox: Sandbox, script: str, code: int) -> None:
    assert sandbox.pty(script).wait(20).exit_code == code


@pytest.mark.needs("terminals")
def test_a_program_that_is_not_there(sandbox: Sandbox) -> None:
    result = sandbox.pty(["no-such-program"]).wait(20)
    assert (result.exit_code, result.stdout) == (127, "no-such-program: command not found\r\n")


@pytest.mark.needs("terminals")
def test_the_shell_is_interactive(sandbox: Sandbox) -> None:
    terminal = sandbox.pty()
    screen = Screen(terminal)
    terminal.write("echo interactive=${-//[^i]/}.\r")
    screen.until(b"interactive=i.")
    terminal.write("exit 3\r")
    assert terminal.wait(20).exit_code == 3


@pytest.mark.needs("terminals")
def test_control_c_ends_what_is_in_front(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    terminal, screen = shell(sandbox)
    terminal.write(f"echo on; {sleep}\r")
    screen.until(b"on\r\n")
    while not survivors(sandbox, sleep):
        time.sleep(0.02)
    terminal.write("\x03")
    screen.until(b"ready> ")
    assert survivors(sandbox, sleep) == []
    terminal.write("echo $?\r")
    screen.until(b"130\r\n")
    terminal.kill()


@pytest.mark.needs("terminals")
def test_the_terminal_is_the_sessions_without_a_shell(sandbox: Sandbox) -> None:
    """A shell makes it so by itself; every other program finds it so."""
    terminal = sandbox.pty(["cat"])
    screen = Screen(terminal)
    terminal.write("x\r")
    screen.until(b"x\r\nx\r\n")
    terminal.write("\x03")
    assert terminal.wait(20).signal == 2


@pytest.mark.needs("terminals")
def test_control_z_stops_and_fg_goes_on(sandbox: Sandbox) -> None:
    terminal, screen = shell(sandbox)
    terminal.write("echo now; cat\r")
    screen.until(b"cat\r\n")
    screen.until(b"now\r\n")  # what is typed before that is still the line editor's
    terminal.write("one\r")
    screen.until(b"one\r\none\r\n")
    terminal.write("\x1a")
    screen.until(b"Stopped")
    screen.until(b"ready> ")
    terminal.write("fg\r")
    screen.until(b"fg\r\ncat\r\n")
    terminal.write("two\r")
    screen.until(b"two\r\ntwo\r\n")
    terminal.write("\x04")
    screen.until(b"ready> ")
    terminal.write("exit 4\r")
    assert terminal.wait(20).exit_code == 4


@pytest.mark.needs("terminals")
def test_control_d_ends_the_shell(sandbox: Sandbox) -> None:
    terminal, _ = shell(sandbox)
    terminal.write("\x04")
    assert terminal.wait(20).exit_code == 0


@pytest.mark.needs("terminals")
def test_the_end_of_input_is_typed(sandbox: Sandbox) -> None:
    terminal = sandbox.pty("cat; echo after")
    terminal.write("line\n")
    terminal.close_stdin()
    assert terminal.wait(20).stdout == "line\r\nline\r\nafter\r\n"


@pytest.mark.needs("terminals")
def test_resize_reaches_the_program(sandbox: Sandbox) -> None:
    script = "trap 'stty size; exit' WINCH; echo on; while :; do read -t 0.1 line; done"
    terminal = sandbox.pty(script, size=TerminalSize(10, 20))
    screen = Screen(terminal)
    screen.until(b"on\r\n")
    terminal.resize(44, 155)
    screen.until(b"44 155\r\n")
    terminal.wait(20)
    terminal.resize(5, 5)


@pytest.mark.needs("terminals")
@pytest.mark.parametrize("size", [(0, 80), (24, -1), (24, 40000), (24,), "24x80", (24.0, 80)])
def test_sizes_that_cannot_be(sandbox: Sandbox, size: object) -> None:
    with pytest.raises(InvalidRequestError, match="rows, columns"):
        sandbox.pty("true", size=size)
    assert sandbox.processes() == []


@pytest.mark.needs("terminals")
def test_a_process_without_a_terminal_has_no_size(sandbox: Sandbox) -> None:
    with sandbox.start("sleep 30") as process:
        with pytest.raises(UnsupportedError, match="no terminal"):
            process.resize(24, 80)
        process.kill()


@pytest.mark.needs("terminals")
def test_the_kill_of_a_shell_takes_what_it_runs(sandbox: Sandbox) -> None:
    sleep = marked_sleep()
    terminal, _ = shell(sandbox)
    terminal.write(f"{sleep} & nohup setsid {sleep} &\r{sleep}\r")
    while len(survivors(sandbox, sleep)) < 3:
        time.sleep(0.02)
    terminal.kill()
    assert survivors(sandbox, sleep) == []
    assert terminal.wait(10).signal in (1, 9, 15)


@pytest.mark.needs("terminals")
def test_its_timeout_ends_it(sandbox: Sandbox) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        sandbox.pty("cat", timeout=0.5).wait(20)
    assert time.monotonic() - began < 10


@pytest.mark.needs("terminals")
def test_output_to_the_last_byte(sandbox: Sandbox) -> None:
    """The end of output comes as the process ends: none of it stays in the kernel."""
    for _ in range(20):
        result = sandbox.pty("seq -w 30000").wait(20)
        assert result.stdout == "".join(f"{n:05d}\r\n" for n in range(1, 30001))


SIZE = 50_000_000


@pytest.mark.needs("terminals")
def test_fifty_megabytes_are_whole(target) -> None:
    """A reader slower than the program; what is not read makes the program wait."""

    async def main() -> None:
        async with target.acreate() as sandbox:
            make = f"import random; print(random.Random(7).randbytes({SIZE // 50}).hex())"
            await sandbox.files.write("make.py", make)
            await sandbox.run("for i in $(seq 25); do python3 make.py; done > data", check=True)
            size = (await sandbox.files.stat("data")).size
            wanted = (await sandbox.run("sha256sum < data", check=True)).stdout.split()[0]
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            terminal = await sandbox.pty("stty raw -echo; cat data; touch finished")
            digest, seen = hashlib.sha256(), 0
            async for chunk in terminal:
                assert chunk.offset == seen
                if not seen:
                    await asyncio.sleep(1)
                    assert not await sandbox.files.exists("finished"), "it did not wait"
                digest.update(chunk.data)
                seen += len(chunk.data)
            assert (seen, digest.hexdigest()) == (size, wanted)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            assert grown < 40_000_000, "the reader held what it had read"

    asyncio.run(main())


@pytest.mark.needs("terminals")
def test_much_input_arrives_whole(sandbox: Sandbox) -> None:
    """A terminal's queue takes 4096 bytes; the rest waits."""
    data = bytes(range(256)) * 8000
    script = f"stty raw -echo; echo on; sleep 0.5; head -c {len(data)} | sha256sum"
    terminal = sandbox.pty(script)
    screen = Screen(terminal)
    screen.until(b"on")
    terminal.write(data)
    screen.until(hashlib.sha256(data).hexdigest().encode())
    terminal.wait(20)


@pytest.mark.needs("terminals")
@pytest.mark.needs("attach")
def test_it_is_found_again_and_taken_over(sandbox: Sandbox) -> None:
    terminal, screen = shell(sandbox, size=(24, 80))
    terminal.write("here=there\r")
    screen.until(b"ready> ")
    terminal.close()
    with Sandbox.connect(sandbox.address) as other:
        (found,) = other.processes()
        assert (found.pid, found.terminal, found.running) == (terminal.pid, True, True)
        assert found.stdout_total == terminal.cursor.stdout
        again = other.attach(terminal.pid, terminal.cursor, stdin=True)
        screen = Screen(again)
        again.resize(50, 160)
        again.write("echo $here; stty size\r")
        screen.until(b"there\r\n50 160\r\n")
        again.write("exit 5\r")
        assert again.wait(20).exit_code == 5


@pytest.mark.needs("terminals")
@pytest.mark.needs("attach")
def test_who_takes_over_has_it_alone(sandbox: Sandbox) -> None:
    terminal, screen = shell(sandbox)
    with Sandbox.connect(sandbox.address) as other:
        watching = other.attach(terminal.pid)
        with pytest.raises(BrokenPipeError):
            watching.write("x")
        with pytest.raises(InvalidRequestError, match="resizes"):
            watching.resize(10, 10)
        taken = other.attach(terminal.pid, stdin=True)
        taken.write("echo taken\r")
        screen.until(b"taken\r\n")
        with pytest.raises(BrokenPipeError):
            terminal.write("x")
        with pytest.raises(InvalidRequestError, match="resizes"):
            terminal.resize(10, 10)
        taken.kill()


@pytest.mark.needs("terminals")
@pytest.mark.needs("attach")
def test_the_input_of_a_process_is_taken_over(sandbox: Sandbox) -> None:
    process = sandbox.start("cat", stdin=True)
    process.write("one\n")
    process.close()
    with Sandbox.connect(sandbox.address) as other:
        again = other.attach(process.pid, stdin=True)
        again.write("two\n")
        again.close_stdin()
        assert again.wait(20).stdout == "one\ntwo\n"
        without = sandbox.start("sleep 30")
        taken = other.attach(without.pid, stdin=True)
        with pytest.raises(BrokenPipeError):
            taken.write("x")
        taken.kill()


@pytest.mark.needs("terminals")
@pytest.mark.needs("users")
def test_the_terminal_is_its_users(sandbox: Sandbox) -> None:
    script = "stat -c %U $(tty); echo x > $(tty); id -un"
    assert sandbox.pty(script, user="root").wait(20).stdout == "root\r\nx\r\nroot\r\n"
    assert sandbox.pty(script).wait(20).stdout == "user\r\nx\r\nuser\r\n"


@pytest.mark.without("terminals")
def test_where_there_are_none_nothing_is_started(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError, match="terminals"):
        sandbox.pty()
