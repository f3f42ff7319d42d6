"""Every command, against the memory provider in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sandboxkit import Sandbox
from sandboxkit.cli.addresses import choose
from sandboxkit.cli.app import run
from sandboxkit.errors import InvalidRequestError
from sandboxkit.models import SandboxMetrics
from sandboxkit.testing import Reply, World, world


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty world, a project of its own, and the memory provider as the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("SANDBOXKIT_PROFILE", "memory")
    monkeypatch.delenv("SANDBOXKIT_DEBUG", raising=False)
    monkeypatch.setattr("sandboxkit.cli.addresses.provider_names", lambda: ["memory"])
    found = world()
    found.sandboxes.clear()
    found.snapshots.clear()
    found.replies.clear()
    yield found
    found.sandboxes.clear()
    found.snapshots.clear()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: str) -> Done:
        capsys.readouterr()
        status = run(arguments)
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def address(cli: Command) -> str:
    return cli("create").out.strip()


# -- run and exec -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_run_exits_as_the_command_does(cli: Command, memory: World, status: int) -> None:
    memory.reply("*", Reply(stdout="to out\n", stderr="to err\n", exit_code=status))
    done = cli("run", "--", "some", "command")
    assert done == (status, "to out\n", "to err\n")
    assert not memory.sandboxes, "the sandbox outlived the command"


def test_what_memory_ended_says_so(
    cli: Command, memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.reply("*", Reply(signal=9, oom=True))
    done = cli("run", "--", "eats")
    assert done.status == 137
    assert done.err.startswith("sandboxkit: the kernel killed a process of the command for want")
    assert done.err.count("\n") == 1
    # This provider measures nothing, so what another would say is put in its place.
    use = SandboxMetrics(at=datetime.now(UTC), memory_limit=64 << 20)
    monkeypatch.setattr(Sandbox, "metrics", lambda self: use)
    assert "the sandbox may use 64.0 MiB" in cli("run", "--", "eats").err


def test_run_json(cli: Command, memory: World) -> None:
    memory.reply("*", Reply(stdout="hello", exit_code=3))
    done = cli("run", "--json", "--", "hello")
    assert done.status == 3
    assert done.json["stdout"] == "hello"
    assert done.json["exit_code"] == 3
    assert done.json["signal"] is None


def test_output_passes_byte_for_byte(
    memory: World, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    content = bytes(range(256)) * 4096
    memory.reply("*", Reply(stdout=content))
    assert run(["run", "--", "cat"]) == 0
    assert capsysbinary.readouterr().out == content


def test_one_word_is_for_the_shell_and_several_are_not(cli: Command, memory: World) -> None:
    memory.reply("echo a*", Reply(stdout="text"))
    assert cli("run", "--", "echo a | wc").out == "text"
    assert cli("run", "echo", "a").out == "text"


def test_options_of_the_command_are_its_own(cli: Command, memory: World) -> None:
    memory.reply("ls -l --json --help", Reply(stdout="fine"))
    assert cli("run", "ls", "-l", "--json", "--help").out == "fine"
    assert cli("run", "--", "ls", "-l", "--json", "--help").out == "fine"


def test_run_a_program_from_here(cli: Command, memory: World, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print('hello')")
    memory.reply("python3 -u /tmp/sandboxkit-run/hello.py x", Reply(stdout="ran"))
    assert cli("run", "hello.py", "x").out == "ran"
    memory.reply("hello.py x", Reply(stdout="not mine"))
    assert cli("run", "--", "hello.py", "x").out == "not mine"


def test_run_a_program_that_is_not_here(cli: Command, memory: World) -> None:
    done = cli("run", "nosuch.py")
    assert (done.status, "there is no file nosuch.py here" in done.err) == (2, True)
    memory.reply("*", Reply(stdout="fine"))
    assert cli("run", "ls -l x.py").out == "fine"
    assert not memory.sandboxes


def test_exec(cli: Command, memory: World, address: str) -> None:
    memory.reply("*", Reply(stdout="out", exit_code=7))
    assert cli("exec", address, "--", "x").status == 7
    assert cli("exec", address, "x").out == "out"
    assert cli("exec", "--json", address, "--", "x").json["stdout"] == "out"
    assert len(memory.sandboxes) == 1


def test_run_needs_a_command(cli: Command) -> None:
    assert cli("run").status == 2
    assert cli("run", "--").status == 2


# -- create, ps, kill, reap ---------------------------------------------------------------------


def test_create_prints_an_address_and_leaves_it_alive(cli: Command, memory: World) -> None:
    done = cli("create", "-m", "a=b", "-e", "X=1", "--session", "s1", "--lifetime", "5m")
    assert done.out.startswith("memory:")
    info = Sandbox.connect(done.out.strip()).info()
    assert info.metadata == {"a": "b"}
    assert info.labels["session"] == "s1"
    assert info.expires_at is not None
    assert (info.expires_at - info.created_at).total_seconds() == pytest.approx(300, abs=1)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("2m", 120)])
def test_durations(cli: Command, text: str, seconds: float) -> None:
    info = Sandbox.connect(cli("create", "--lifetime", text).out.strip()).info()
    assert info.expires_at is not None
    lasts = (info.expires_at - info.created_at).total_seconds()
    assert lasts == pytest.approx(seconds, abs=0.5)


def test_a_wrong_duration_is_named(cli: Command) -> None:
    done = cli("create", "--lifetime", "soon")
    assert (done.status, "lifetime" in done.err) == (2, True)


@pytest.mark.parametrize(
    "option",
    [
        ("--lifetime", "0"),
        ("--lifetime", "999999999h"),
        ("--create-timeout", "nan"),
        ("--cpu", "inf"),
        ("--cpu", "many"),
        ("--memory", "0"),
        ("--memory", "9" * 400 + "TiB"),
        ("--disk", "much"),
        ("--pids", "0"),
        ("--pids", "9" * 30),
    ],
)
def test_a_wrong_value_is_a_wrong_command_line(
    cli: Command, memory: World, option: tuple[str, str]
) -> None:
    done = cli("create", *option)
    assert (done.status, option[0] in done.err) == (2, True)
    told = json.loads(cli("create", *option, "--json").err)["error"]
    assert (told["code"], option[0] in told["message"]) == ("usage", True)
    assert not memory.sandboxes


@pytest.mark.parametrize("text", ["0", "x", "-1"])
def test_a_wrong_timeout(cli: Command, memory: World, text: str) -> None:
    assert cli("run", "--timeout", text, "--", "x").status == 2
    assert not memory.sandboxes


def test_create_never_ends_if_asked(cli: Command) -> None:
    assert cli("create", "--lifetime", "never", "--json").json["expires_at"] is None


def test_ps(cli: Command) -> None:
    first, second = (cli("create", "--session", name).out.strip() for name in "ab")
    table = cli("ps").out
    assert first in table
    assert second in table
    assert "ADDRESS" in table
    assert set(cli("ps", "-q").out.split()) == {first, second}
    assert cli("ps", "-q", "--session", "a").out.split() == [first]
    assert {row["address"] for row in cli("ps", "--json").json} == {first, second}


def test_a_unique_beginning_of_an_address_is_enough(cli: Command, memory: World) -> None:
    address = cli("create").out.strip()
    memory.reply("*", Reply(stdout="yes"))
    identifier = address.partition(":")[2]
    for text in (address, address[:-2], identifier, identifier[:6]):
        assert cli("exec", text, "--", "x").out == "yes"
    none = cli("exec", "memory:nosuch", "--", "x")
    assert none.status == 1
    assert "nosuch" in none.err


class Thing(NamedTuple):
    address: str
    id: str


def test_the_beginning_of_several_is_refused() -> None:
    things = [Thing("memory:abcd", "abcd"), Thing("memory:abce", "abce"), Thing("x:abc", "abc")]
    assert choose("abcd", things, "things") == things[0]
    assert choose("abc", things, "things") == things[2], "the whole of an id"
    assert choose("x:abc", things, "things") == things[2]
    assert choose("y:abc", things, "things") is None
    with pytest.raises(InvalidRequestError, match="several things: memory:abcd, memory:abce"):
        choose("memory:abc", things, "things")


@pytest.mark.parametrize("text", ["", " ", "memory:", ":", "memory", "mem", "memory:a", "a"])
@pytest.mark.parametrize(
    "command",
    [("kill", "{}"), ("exec", "{}", "x"), ("snapshot", "create", "{}"), ("snapshot", "rm", "{}")],
)
def test_what_names_nothing_is_refused(
    cli: Command, memory: World, address: str, command: tuple[str, ...], text: str
) -> None:
    Sandbox.connect(address).snapshot()
    done = cli(*(word.format(text) for word in command))
    assert (done.status, done.out) == (2, "")
    assert (len(memory.sandboxes), len(memory.snapshots)) == (1, 1)


@pytest.mark.parametrize("place", [":x", "memory::x", "mem:x"])
def test_cp_refuses_what_names_nothing(cli: Command, address: str, place: str) -> None:
    assert cli("cp", "README", place).status == 2


def test_kill(cli: Command, memory: World) -> None:
    first, second, third, fourth = (
        cli("create", "--session", name).out.strip() for name in ("a", "b", "b", "c")
    )
    assert cli("kill", first).out.strip() == first
    assert set(cli("kill", "--session", "b").out.split()) == {second, third}
    assert cli("kill", "--all", "--json").json == {"killed": [fourth]}
    assert not memory.sandboxes
    assert cli("kill", first).status == 1


@pytest.mark.parametrize("arguments", [[], ["--all", "--session", "x"], ["x", "--all"]])
def test_kill_wants_one_choice(cli: Command, arguments: list[str]) -> None:
    assert cli("kill", *arguments).status == 2


def test_reap_says_what_it_would_do(cli: Command) -> None:
    assert "nothing" in cli("reap").out
    assert cli("reap", "--yes", "--json").json == {"dry_run": False, "reaped": []}


# -- snapshots and files ------------------------------------------------------------------------


def test_snapshots(cli: Command, memory: World, address: str) -> None:
    taken = cli("snapshot", "create", address, "--name", "base").out.strip()
    assert taken in cli("snapshot", "ls").out
    assert cli("snapshot", "ls", "--json").json[0]["name"] == "base"
    assert cli("create", "--snapshot", taken).status == 0
    assert cli("snapshot", "rm", "base").out.strip() == taken
    assert not memory.snapshots
    missing = cli("snapshot", "rm", "base")
    assert (missing.status, "snapshot ls" in missing.err) == (1, True)


def test_cp_both_ways(cli: Command, address: str, tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "in.bin").write_bytes(content)
    assert cli("cp", "in.bin", f"{address}:deep/there.bin").status == 0
    assert Sandbox.connect(address).files.read_bytes("/home/user/deep/there.bin") == content
    assert cli("cp", f"{address}:deep/there.bin", "out.bin", "--json").json["files_sent"] == 1
    assert (tmp_path / "out.bin").read_bytes() == content
    assert cli("cp", "in.bin", f"{address}:deep").status == 0
    assert Sandbox.connect(address).files.read_bytes("deep/in.bin") == content


def test_cp_into_a_directory_that_is_to_be(cli: Command, address: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert cli("cp", "a.txt", f"{address}:new/").status == 0
    assert Sandbox.connect(address).files.read_text("new/a.txt") == "a"
    assert cli("cp", f"{address}:new/a.txt", "here/").status == 0
    assert (tmp_path / "here" / "a.txt").read_text() == "a"


def test_cp_directories(cli: Command, address: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "a.txt").write_text("a")
    (tmp_path / "tree" / "sub" / "b.txt").write_text("b")
    (tmp_path / "tree" / "link").symlink_to("/etc/passwd")
    told = cli("cp", "tree", f"{address}:copy", "--json").json
    assert (told["files"], told["directories"]) == (2, 1)
    assert told["skipped"] == [{"path": "link", "reason": "links cannot be made here"}]
    assert "left out 'link'" in cli("cp", "tree", f"{address}:copy").err
    assert cli("cp", f"{address}:copy", "back").status == 0
    found = {
        path.relative_to(tmp_path / "back"): path.is_file()
        for path in (tmp_path / "back").rglob("*")
    }
    assert found == {Path("a.txt"): True, Path("sub"): False, Path("sub/b.txt"): True}


def test_cp_of_a_directory_goes_where_it_says(cli: Command, address: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")
    (tmp_path / "tree" / "b.pyc").write_text("b")
    files = Sandbox.connect(address).files
    for _ in range(2):  # the same again does not go one level deeper
        assert cli("cp", "tree", f"{address}:copy").status == 0
        assert cli("cp", "tree", f"{address}:into/", "--exclude", "*.pyc").status == 0
        assert cli("cp", "tree/.", f"{address}:").status == 0
        assert cli("cp", f"{address}:copy", "back").status == 0
        assert cli("cp", f"{address}:copy", "back/inside/", "--checksum").status == 0
        assert cli("cp", f"{address}:copy", ".").status == 0
    listed = [one.path.removeprefix("/home/user/") for one in files.list(".", depth=9)]
    trees = ("copy", "copy/a", "copy/b.pyc", "into", "into/tree", "into/tree/a")
    assert listed == [*trees, "tree", "tree/a", "tree/b.pyc"]
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a", "b.pyc", "inside"]
    assert (tmp_path / "back" / "inside" / "copy" / "a").exists()
    assert (tmp_path / "copy" / "a").exists()
    assert cli("cp", "tree", f"{address}:x", "--exclude", "\\").status == 1


def test_cp_standard_streams(cli: Command, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    assert cli("cp", "-", f"{address}:x").status == 0
    assert cli("cp", f"{address}:x", "-").out == "from stdin"


@pytest.mark.parametrize(
    ("source", "target"), [("a", "b"), ("./a:b", "c"), ("memory:x:/a", "memory:x:/b")]
)
def test_cp_needs_one_place_inside(cli: Command, source: str, target: str) -> None:
    assert cli("cp", source, target).status == 2


def test_cp_of_what_is_not_there(cli: Command, address: str) -> None:
    assert cli("cp", "none.txt", f"{address}:x").status == 1
    missing = cli("cp", f"{address}:none.txt", "x")
    assert missing.status == 1
    assert "none.txt" in missing.err


# -- providers, doctor, config ------------------------------------------------------------------


def test_providers(cli: Command) -> None:
    assert "memory" in cli("providers").out
    described = {row["name"]: row for row in cli("providers", "--json").json}
    assert described["memory"]["capabilities"]["isolation"] == "none"


def test_doctor(cli: Command) -> None:
    done = cli("doctor", "memory")
    assert (done.status, "memory: works" in done.out) == (0, True)
    assert cli("doctor", "memory", "--json").json["memory"][0]["ok"] is True
    unknown = cli("doctor", "memry")
    assert unknown.status == 1
    assert "did you mean 'memory'" in unknown.err


ELSEWHERE = """
[profiles.badport]
provider = "e2b"
api_url = "http://127.0.0.1:9"
api_key = "e2b_0123"
[profiles.wrong]
provider = "memory"
lifetme = "5m"
"""


def test_doctor_tries_a_profile_out(cli: Command, tmp_path: Path) -> None:
    pytest.importorskip("e2b")
    (tmp_path / "sandboxkit.toml").write_text(ELSEWHERE)
    done = cli("create", "-p", "badport")
    assert (done.status, "try: sandboxkit doctor badport\n" in done.err) == (1, True), done.err
    looked = cli("doctor", "badport")
    assert (looked.status, "badport: does not work" in looked.out) == (1, True)
    assert "E2B_API_KEY" not in looked.out
    assert "lifetme" in cli("doctor", "wrong").out
    (tmp_path / "sandboxkit.toml").write_text('[profiles.p]\nprovider = "memory"\n')
    assert "p: works" in cli("doctor", "p").out
    assert "did you mean 'memory'" in cli("doctor", "memry").err


def test_doctor_names_a_broken_configuration(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "sandboxkit.toml").write_text("[broken\n")
    done = cli("doctor")
    assert done.status == 1
    assert "sandboxkit.toml:1" in done.out


WRONG = """
[profiles.one]
provider = "memory"
lifetme = "5m"
[profiles.two]
resources = { cpus = 2 }
"""


def test_a_wrong_profile_harms_only_who_uses_it(
    cli: Command, memory: World, tmp_path: Path, address: str
) -> None:
    (tmp_path / "sandboxkit.toml").write_text(WRONG)
    memory.reply("*", Reply(stdout="out"))
    assert cli("ps", "-q").out.strip() == address
    assert cli("exec", address, "x").out == "out"
    assert cli("config", "path").status == 0
    for command in (("config", "show"), ("doctor",)):
        done = cli(*command)
        for word in ("lifetme", "resources.cpus", "'lifetime'", "'cpu'"):
            assert word in done.out + done.err, command
    assert cli("config", "show", "one").status == 1
    shown = cli("config", "show", "two")
    assert (shown.status, "lifetme" in shown.err, "cpus" in shown.err) == (1, True, True)
    assert len(cli("config", "show", "--json").json["wrong"]) == 2
    assert cli("create", "-p", "one").status == 1
    assert cli("create", "-p", "two").status == 1
    assert cli("kill", address[: len("memory:") + 4]).status == 0


def test_a_mistyped_provider_is_told_of(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "sandboxkit.toml").write_text('[profiles.p]\nprovider = "memry"\n')
    shown = cli("config", "show")
    assert (shown.status, shown.err.count("wrong: ")) == (1, 1)
    for told in (shown.err, cli("doctor").out):
        for word in ("[profiles.p]", "'memry' is not installed", "did you mean 'memory'?"):
            assert word in told
    (tmp_path / "sandboxkit.toml").write_text('[profiles.p]\nprovider = "auto"\n')
    assert cli("config", "show").status == 0


def test_config_path_needs_no_correct_file(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "sandboxkit.toml").write_text("[broken\n")
    assert cli("config", "path").out.strip() == str(tmp_path / "sandboxkit.toml")


def test_config_show(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOXKIT_PROFILE")
    (tmp_path / "sandboxkit.toml").write_text(
        'default_profile = "p"\n[profiles.p]\nprovider = "memory"\napi_key = "s3cret"\n'
        'token = "env:T"\nresources = { cpu = 2 }'
    )
    done = cli("config", "show", "--origin")
    for text in ("provider", "memory", "env:T", "resources.cpu", "sandboxkit.toml [profiles.p]"):
        assert text in done.out
    assert "s3cret" not in done.out
    shown = cli("config", "show", "--json", "--origin").json
    assert shown["token"] == "env:T"
    assert shown["origin"]["network"] == "default"
    assert cli("config", "path").out.strip() == str(tmp_path / "sandboxkit.toml")
    assert cli("config", "path", "--json").json["files"] == [str(tmp_path / "sandboxkit.toml")]


def test_config_path_without_files(cli: Command) -> None:
    assert "none; write sandboxkit.toml" in cli("config", "path").out


def test_demo(cli: Command, memory: World) -> None:
    memory.reply("*", Reply(stdout="2\n"))
    done = cli("demo")
    assert done.status == 0, done.err
    assert "create to first output" in done.out
    assert "isolation none" in done.out
    assert not memory.sandboxes
    assert not memory.snapshots
    assert cli("demo", "--json").json["seconds"]["create to first output"] > 0


def test_pause_and_resume(cli: Command, memory: World) -> None:
    one, two = (cli("create").out.strip() for _ in range(2))
    done = cli("pause", one, two, "--lifetime", "2h")
    assert (done.status, done.out.split()) == (0, [one, two])
    assert "paused" in cli("ps").out
    assert {info["state"] for info in cli("ps", "--json").json} == {"paused"}
    # What needs it wakes it; kill does not.
    assert cli("resume", "--json", one).json == {
        "sandboxes": [{"address": one, "state": "running"}]
    }
    assert cli("resume", one).status == 0
    assert cli("kill", one, two).status == 0
    assert cli("pause", one).status == 1
    assert cli("pause").status == 2
    assert cli("pause", "--lifetime", "0", two).status == 2


def test_what_happens_at_the_end_of_its_time(cli: Command, memory: World) -> None:
    address = cli("create", "--on-timeout", "pause").out.strip()
    assert memory.sandboxes[address.partition(":")[2]].on_timeout == "pause"
    assert cli("create", "--on-timeout", "sleep").status == 2
    refused = cli("create", "--idle-timeout", "5m")
    assert refused.status == 1
    assert "idle_timeout" in refused.err
