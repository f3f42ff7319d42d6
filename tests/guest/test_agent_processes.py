from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from sandboxkit.guest.agent.script import FD, SOURCED, script_file
from tests.guest.rawclient import Agent, RawClient, carriers


def run(client: RawClient, shell: str, **arguments: object) -> tuple[bytes, bytes, int | None]:
    outcome = client.call("start", shell=shell, **arguments)
    assert outcome.error is None
    return outcome.stdout, outcome.stderr, outcome.event("exited")["code"]


def test_hello_describes_the_sandbox(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    assert client.hello["major"] == 1
    assert {"processes", "files"} <= set(client.hello["features"])
    sandbox = client.hello["sandbox"]
    assert sandbox["workdir"] == str(tmp_path)
    assert sandbox["shell"] == "bash -c"
    assert Path(sandbox["python"]).exists()


def test_output_comes_apart_and_in_order(client: RawClient) -> None:
    outcome = client.call("start", shell="printf 'a\\0b'; printf 'c' >&2; exit 7")
    assert (outcome.stdout, outcome.stderr) == (b"a\0b", b"c")
    assert outcome.order[0] == "started"
    assert outcome.order.index("data1") < outcome.order.index("exited")
    assert {"fin1", "fin2"} <= set(outcome.order)
    assert outcome.event("exited") == {
        "event": "exited",
        "code": 7,
        "signal": None,
        "timed_out": False,
        "oom": False,
    }
    assert outcome.result == {"closed": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGPIPE, signal.SIGINT])
def test_a_signal_is_a_raw_fact(client: RawClient, number: int) -> None:
    outcome = client.call("start", shell=f"kill -{int(number)} $$; sleep 5")
    event = outcome.event("exited")
    assert (event["code"], event["signal"]) == (None, number)


TRACED = "import ctypes, os, signal\nassert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0, 'may not'\n"


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("os.kill(os.getpid(), signal.SIGCHLD); exit(3)", {"code": 3, "signal": None}),
        ("os.kill(os.getpid(), signal.SIGTERM)", {"code": None, "signal": 15}),
        ("os.execvp('sh', ['sh', '-c', 'exit 4'])", {"code": 4, "signal": None}),
    ],
)
def test_who_makes_the_agent_its_debugger_is_let_go(
    client: RawClient, code: str, event: dict[str, object]
) -> None:
    """Else its first signal would pass for its end, while it lives on out of sight."""
    outcome = client.call("start", argv=["python3", "-c", TRACED + code])
    assert outcome.stderr == b""
    assert outcome.event("exited").items() >= event.items()


def test_argv_needs_no_shell(client: RawClient) -> None:
    outcome = client.call("start", argv=["printf", "%s", "$HOME; `id`"])
    assert outcome.stdout == b"$HOME; `id`"


def test_a_missing_program_exits_like_in_a_shell(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("echo no")
    for argv, code, text in [
        (["no-such-program"], 127, b"command not found"),
        ([str(tmp_path / "missing")], 127, b"No such file or directory"),
        ([str(tmp_path / "plain")], 126, b"Permission denied"),
        ([str(tmp_path)], 126, b"Permission denied"),
    ]:
        outcome = client.call("start", argv=argv)
        assert outcome.event("exited")["code"] == code, argv
        assert text in outcome.stderr
        assert outcome.order[0] == "started"


def test_a_script_without_a_first_line_runs(client: RawClient, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "got $1"')
    script.chmod(0o755)
    assert client.call("start", argv=[str(script), "it"]).stdout == b"got it\n"


def test_cwd(client: RawClient, tmp_path: Path) -> None:
    assert run(client, "pwd")[0] == f"{tmp_path}\n".encode()
    assert run(client, "pwd", cwd="/usr")[0] == b"/usr\n"
    (tmp_path / "file").touch()
    for bad in ("/no/such", str(tmp_path / "file")):
        error = client.call("start", shell="pwd", cwd=bad).error
        assert error is not None
        assert error["code"] == "no_such_cwd"
        assert error["path"] == bad


def test_user(client: RawClient) -> None:
    error = client.call("start", shell="id", user="nobody-of-that-name").error
    assert error is not None
    assert error["code"] == "no_such_user"
    # This agent cannot switch users.
    error = client.call("start", shell="id", user=str(os.getuid() + 1)).error
    assert error is not None
    assert error["code"] == "no_such_user"
    assert run(client, "id -u", user=str(os.getuid()))[0] == f"{os.getuid()}\n".encode()


def test_environment_is_only_what_is_meant(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    outcome = client.call("start", argv=["env", "-0"], env={"A": "b=c\nd", "LANG": "C"})
    pairs = dict(item.split("=", 1) for item in outcome.stdout.decode().split("\0") if item)
    assert pairs.keys() == {"HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "A"}
    assert pairs["A"] == "b=c\nd"
    assert pairs["LANG"] == "C"


def test_a_process_gets_a_clean_start(client: RawClient) -> None:
    out = run(client, "ls /proc/self/fd; grep SigIgn /proc/self/status; ps -o sid= -p $$; umask")
    lines = out[0].decode().split()
    assert lines[:4] == ["0", "1", "2", "3"]
    ignored = int(lines[5], 16)
    # Numbers 32 and 33 are the C library's own.
    assert ignored & 0x7FFFFFFF == 0
    assert lines[7] == "0022"
    stdin, score = run(client, "readlink /proc/self/fd/0; cat /proc/self/oom_score_adj")[0].split()
    assert stdin == b"/dev/null"
    assert score == b"500"


def test_the_agent_keeps_its_own_memory_score(agent: Agent, client: RawClient) -> None:
    before = Path("/proc/self/oom_score_adj").read_text()
    run(client, "true")
    assert Path(f"/proc/{agent.pid}/oom_score_adj").read_text() == before


def test_dev_stdout_can_be_opened_again(client: RawClient) -> None:
    assert run(client, "echo a > /dev/stdout; echo b > /dev/stderr")[:2] == (b"a\n", b"b\n")


def test_a_background_child_does_not_hold_the_exit(client: RawClient) -> None:
    began = time.monotonic()
    stream = client.open("start", shell="(sleep 1; echo late) & echo now")
    client.event(stream, "exited")
    assert time.monotonic() - began < 0.9
    outcome = client.finish(stream)
    assert time.monotonic() - began > 0.9
    assert outcome.stdout == b"now\nlate\n"
    assert outcome.result == {"closed": True}


def test_everything_written_before_the_exit_comes_before_it(client: RawClient) -> None:
    # A child that goes on writing must not hold the exit back for ever.
    stream = client.open("start", shell="head -c 3000000 /dev/zero; (yes | head -c 50000000) &")
    size = 0
    while True:
        frame = client.frame(stream)
        if frame.type == 3 and frame.json()["event"] == "exited":
            break
        size += len(frame.payload) if frame.type == 4 else 0
    assert size >= 3_000_000
    assert len(client.finish(stream).stdout) + size == 53_000_000


def test_signal_goes_to_the_process_alone(client: RawClient) -> None:
    stream = client.open("start", shell="trap 'echo got; exit 3' USR1; echo up; sleep 30 & wait")
    while client.frame(stream).payload != b"up\n":
        pass
    client.control(stream, do="signal", signum=int(signal.SIGUSR1))
    assert client.event(stream, "exited")["code"] == 3
    client.control(stream, do="terminate", grace=0)
    assert client.finish(stream).stdout == b"got\n"


@pytest.mark.parametrize(
    "message",
    [
        {"do": "signal"},
        {"do": "signal", "signum": "9"},
        {"do": "signal", "signum": 9999},
        {"do": "signal", "signum": True},
        {"do": "terminate", "grace": -1},
        {"do": "dance"},
        {"do": []},
        {},
    ],
)
def test_a_senseless_control_is_refused(client: RawClient, message: dict[str, object]) -> None:
    stream = client.open("start", shell="sleep 30")
    client.control(stream, **message)
    client.event(stream, "refused")
    client.control(stream, do="terminate")
    assert client.finish(stream).event("exited")["signal"] == signal.SIGTERM


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"argv": []},
        {"argv": "ls"},
        {"argv": ["ls", 1]},
        {"argv": ["a\0b"]},
        {"argv": ["ls"], "shell": "ls"},
        {"shell": 5},
        {"shell": "ls", "cwd": "relative"},
        {"shell": "ls", "env": []},
        {"shell": "ls", "env": {"A": 1}},
        {"shell": "ls", "env": {"A=B": "c"}},
        {"shell": "ls", "env": {"": "c"}},
        {"shell": "ls", "timeout": "1"},
        {"shell": "ls", "timeout": -1},
        {"shell": "ls", "timeout": 1e300},
        {"shell": "ls", "stdin": 1},
        {"shell": "\ud800"},
    ],
)
def test_bad_requests(client: RawClient, arguments: dict[str, object]) -> None:
    outcome = client.call("start", **arguments)
    assert outcome.error is not None
    assert outcome.error["code"] == "bad_request"


def test_processes_are_listed(client: RawClient) -> None:
    done = client.call("start", shell="exit 4", label="the short one").event("started")["pid"]
    stream = client.open("start", argv=["sleep", "30"])
    running = client.event(stream, "started")["pid"]
    result = client.call("processes").result
    assert result is not None
    found = {process["pid"]: process for process in result["processes"]}
    assert found[done]["label"] == "the short one"
    assert (found[done]["running"], found[done]["code"]) == (False, 4)
    assert (found[running]["running"], found[running]["code"]) == (True, None)
    assert found[running]["label"] == "sleep 30"
    assert abs(found[running]["started"] - time.time()) < 60
    assert client.call("kill_tree", pid=running).result == {}
    assert client.finish(stream).event("exited")["signal"] == signal.SIGTERM
    assert client.call("kill_tree", pid=99_999_999).error["code"] == "not_found"


def test_what_the_kernel_does_not_take_never_ran(client: RawClient) -> None:
    for arguments in (
        {"argv": ["printf", "x" * 300_000]},
        {"argv": ["true"], "env": {"LARGE": "x" * 300_000}},
        {"shell": "true", "env": {"LARGE": "x" * 300_000}},
    ):
        outcome = client.call("start", **arguments)
        assert outcome.error is not None, outcome.order
        assert outcome.error["code"] == "bad_request"
        assert "131,071" in outcome.error["message"]
        assert outcome.order == []


LONG = f"# {'x' * 200_000}\n"


def test_a_long_shell_text(client: RawClient) -> None:
    assert run(client, "echo $0 $#; echo up >&2; exit 3\n" + LONG)[:2] == (b"bash 0\n", b"up\n")
    stream = client.open("start", shell=LONG + "cat; false", stdin=True)
    client.write(stream, b"input")
    outcome = client.finish(stream)
    assert (outcome.stdout, outcome.event("exited")["code"]) == (b"input", 1)
    # Neither the text nor anything else is open in what it starts.
    outcome = client.call("start", shell="ls /proc/self/fd\n" + LONG)
    assert outcome.stdout.split() == [b"0", b"1", b"2", b"3"]
    assert client.call("start", shell=LONG + "if\n").event("exited")["code"] not in (0, None)
    assert (
        b"line 3: nothing-like-it" in client.call("start", shell=LONG + "\nnothing-like-it").stderr
    )
    listed = client.call("processes").result["processes"]
    assert listed[0]["label"].startswith("bash -c echo $0")


@pytest.mark.parametrize("shell", ["bash", "dash", "sh", "busybox sh"])
def test_a_long_text_in_every_shell(shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"there is no {shell} here")
    fd = script_file(b"echo one\nls /proc/self/fd >&2; (exit 4)\n" + LONG.encode())
    try:
        done = subprocess.run(
            [*shell.split(), "-c", f"{SOURCED}"],
            preexec_fn=lambda: os.dup2(fd, FD),
            close_fds=False,
            capture_output=True,
            check=False,
        )
    finally:
        os.close(fd)
    assert (done.stdout, done.returncode) == (b"one\n", 4)
    assert str(FD).encode() not in done.stderr.split()


def test_an_agent_out_of_descriptors_says_so(
    agent: Agent, client: RawClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    run(client, "true")
    free = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, free[1]))
    for op, arguments in [
        ("start", {"shell": "true"}),
        ("start", {"shell": "true", "user": "somebody"}),
        ("read", {"path": str(tmp_path / "file")}),
        ("write", {"path": str(tmp_path / "file")}),
        ("list", {"path": str(tmp_path)}),
        ("run_code", {"code": "1"}),
    ]:
        error = client.call(op, **arguments).error
        assert error == {
            "code": "too_many",
            "message": "the sandbox's agent is out of file descriptors",
        }, op
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, free)
    assert run(client, "echo again")[0] == b"again\n"


def test_no_descriptor_and_no_child_is_left(agent: Agent, client: RawClient) -> None:
    run(client, "true")
    before = len(os.listdir(f"/proc/{agent.pid}/fd"))
    for _ in range(20):
        run(client, "echo x; cat", stdin=False)
        client.call("start", argv=["no-such-program"])
        client.call("start", shell="x", cwd="/nowhere")
    assert len(os.listdir(f"/proc/{agent.pid}/fd")) == before
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    assert children == []
    assert carriers(b"", parent=agent.pid) == []


def test_the_agent_cannot_be_looked_into(agent: Agent, client: RawClient) -> None:
    # What belongs to a non-dumpable process belongs to root, and its environment is closed to
    # others; as root only the owner tells.
    run(client, "true")
    status = os.stat(f"/proc/{agent.pid}/environ")
    assert status.st_uid == 0
    assert stat.S_IMODE(status.st_mode) == 0o400
