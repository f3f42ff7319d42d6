"""How the command line ends when something goes wrong: one message, a hint, a status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from sandboxkit.cli import app
from sandboxkit.cli.output import age, json_option, plain, waiting
from sandboxkit.errors import CommandTimeoutError, ProviderUnavailableError
from sandboxkit.models import CommandResult


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    @json_option
    def fail() -> None:
        raise error

    monkeypatch.setitem(app.cli.commands, "fail", fail)
    monkeypatch.delenv("SANDBOXKIT_DEBUG", raising=False)


TIMEOUT = CommandTimeoutError("'x' did not end", result=CommandResult(exit_code=143))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ProviderUnavailableError("no engine", hint="start it"), 1, "no engine\n  try: start it\n"),
        (TIMEOUT, 124, "'x' did not end"),
        (FileNotFoundError(2, "No such file or directory", "x.txt"), 1, "x.txt: No such file"),
        (click.UsageError("no"), 2, "no"),
        (OverflowError("too\nmuch"), 1, "sandboxkit: too much\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_it_ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert app.run(["fail"]) == status
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_errors_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, ProviderUnavailableError("no engine", provider="p", hint="start it"))
    assert app.run(["fail", "--json"]) == 1
    told = json.loads(capsys.readouterr().err)["error"]
    assert told["code"] == "provider_unavailable"
    assert told["message"] == "no engine"
    assert (told["provider"], told["hint"], told["outcome"]) == ("p", "start it", "not_started")


def test_a_timeout_as_json_has_what_there_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = CommandResult(exit_code=143, stdout_bytes=b"tail", stdout_total=99, stderr_bytes=b"e")
    failing(monkeypatch, CommandTimeoutError("'x' did not end", result=result))
    assert app.run(["fail", "--json"]) == 124
    told = json.loads(capsys.readouterr().err)["error"]
    assert told["code"] == "command_timeout"
    assert (told["result"]["stdout"], told["result"]["stderr"]) == ("tail", "e")
    assert (told["result"]["stdout_total"], told["result"]["stdout_truncated"]) == (99, True)


def interrupted(
    tmp_path: Path, how: str, *arguments: str, entry: str = "sandboxkit.cli"
) -> tuple[int, str, str]:
    program = f"import os, signal, sys\n{how}\nfrom {entry} import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("module", "entry"),
    [("click", "sandboxkit.cli"), ("sandboxkit.errors", "sandboxkit_command")],
)
def test_ctrl_c_while_it_starts(tmp_path: Path, module: str, entry: str) -> None:
    how = f"""
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
    assert interrupted(tmp_path, how, "--version", entry=entry) == (130, "", "")


def test_ctrl_c_after_all_is_printed(tmp_path: Path) -> None:
    how = "import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"
    status, out, err = interrupted(tmp_path, how, "config", "path")
    assert (status, err) == (130, "")
    assert out.startswith("none; write")


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    how = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
"""
    assert interrupted(tmp_path, how, "config", "path")[0] == 0
    assert interrupted(tmp_path, how, "config", "path", entry="sandboxkit_command")[0] == 0


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ProviderUnavailableError("no engine"))
    monkeypatch.setenv("SANDBOXKIT_DEBUG", "1")
    with pytest.raises(ProviderUnavailableError):
        app.run(["fail"])


def test_unknown_commands_and_options() -> None:
    assert app.run(["nosuch"]) == 2
    assert app.run(["ps", "--nosuch"]) == 2
    assert app.run([]) in (0, 2)
    assert app.run(["--help"]) == 0


def test_every_command_has_help_and_json() -> None:
    def walk(command: click.Command, path: str) -> None:
        assert command.help, f"{path} says nothing"
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                walk(inner, f"{path} {name}")
            return
        if path == "sandboxkit bench":
            return  # which hands over to a suite that keeps its results as JSON in any case
        options = {text for parameter in command.params for text in parameter.opts}
        assert "--json" in options, path

    walk(app.cli, "sandboxkit")


def test_no_sentence_of_the_overview_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--help"]) == 0
    told = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert not [line for line in told[1:] if line.endswith("...")]


def test_an_extra_that_is_not_installed_is_no_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sandboxkit.cli.addresses.provider_names", lambda: ["docker", "memory"])
    monkeypatch.setitem(sys.modules, "sandboxkit_docker.provider", None)
    assert app.run(["ps"]) == 0
    assert capsys.readouterr().err == ""
    assert app.run(["ps", "--profile", "docker"]) == 1
    assert "sandboxkit-py[docker]" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_no_error(tmp_path: Path, closed: str) -> None:
    program = f'"{sys.executable}" -m sandboxkit.cli config show {closed}'
    done = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "sandboxkit.cli", "config", "show", "--json"]
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as stream:
        told = stream.read()
    assert process.wait(60) in (0, 128 + signal.SIGPIPE), told
    assert b"Traceback" not in told


def test_the_program_is_installed() -> None:
    program = Path(sys.executable).with_name("sandboxkit")
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.startswith("sandboxkit")


def test_plain() -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    given = {"at": moment, "set": {"b", "a"}, "bytes": b"x\xff", "path": Path("/x"), "no": None}
    assert plain(given) == {
        "at": "2026-01-02T00:00:00+00:00",
        "set": ["a", "b"],
        "bytes": "x\ufffd",
        "path": "/x",
        "no": None,
    }


def test_age() -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    assert age(None) == "-"
    assert age(now - timedelta(seconds=5)) == "5s"
    assert age(now + timedelta(minutes=10, seconds=1)) == "10m"
    assert age(now - timedelta(days=3, seconds=1)) == "3d"


def test_waiting_says_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("something"):
        pass
    assert capsys.readouterr() == ("", "")
