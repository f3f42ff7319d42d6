"""`sandboxkit shell` as a person uses it: keys and screens of a real terminal emulator."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from sandboxkit import Sandbox
from tests.cli.person import COMMAND, Person
from tests.guest.rawclient import eventually


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.create("local", lifetime="10m") as made:
        made.files.write(".bashrc", "PS1='inside> '\n")
        yield made


@pytest.fixture
def person() -> Iterator[Person]:
    someone = Person()
    try:
        yield someone
    finally:
        someone.leave()


@pytest.fixture
def inside(person: Person, sandbox: Sandbox) -> Person:
    """Somebody at the sandbox's shell."""
    person.enter(f"clear; {COMMAND} shell {sandbox.address}; echo status=$?")
    person.see("inside>")
    return person


def kept_as_it_was(person: Person) -> None:
    """This machine's shell is there, and its terminal echoes, edits lines and shows one screen."""
    person.until(lambda lines: any(line.startswith("status=") for line in lines))
    person.prompt()
    person.enter(
        "stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(icanon|echo|isig|opost|icrnl)' | xargs"
    )
    person.see("icrnl opost isig icanon echo")
    assert person.pane("alternate_on") == "0"
    assert person.pane("cursor_flag") == "1"
    assert person.pane("mouse_any_flag") == "0"


# -- programs, and the size of the window ---------------------------------------------------------


def test_vim(inside: Person, sandbox: Sandbox) -> None:
    inside.enter("vim notes.txt")
    inside.until(lambda lines: lines[23].startswith('"notes.txt" [New]'))
    inside.type("ihello from ünside")
    inside.until(lambda lines: lines[23].startswith("-- INSERT --"))
    inside.resize(110, 40)
    screen = inside.until(lambda lines: lines[39].startswith("-- INSERT --"))
    assert screen[0] == "hello from ünside"
    assert screen[1:38] == ["~"] * 37
    inside.resize(50, 10)
    inside.until(lambda lines: lines[9].startswith("-- INSERT --") and lines[8] == "~")
    inside.press("Escape")
    inside.enter(":set lines? columns?")
    inside.until(lambda lines: "lines=10" in " ".join(lines))
    inside.press("Enter")
    inside.enter(":wq")
    inside.see("inside>")
    assert sandbox.files.read_text("notes.txt") == "hello from ünside\n"
    assert inside.pane("alternate_on") == "0"


def test_top(inside: Person, sandbox: Sandbox) -> None:
    """It waits ten minutes between looks: what it draws, it draws for the new size."""
    for _ in range(30):
        sandbox.start("sleep 300")
    inside.resize(80, 15)
    inside.enter("top -d 600")
    inside.until(lambda lines: lines[0].startswith("top - ") and rows_of_top(lines) == 8)
    inside.resize(120, 35)
    inside.until(lambda lines: rows_of_top(lines) == 28)
    inside.press("q")
    inside.see("inside>")


def rows_of_top(lines: list[str]) -> int:
    return sum(re.match(r" *\d+ (user|root) ", line) is not None for line in lines)


def test_less(inside: Person) -> None:
    inside.enter("seq 1000 | less")
    inside.until(lambda lines: lines[22:] == ["23", ":"])
    inside.press("Space")
    inside.until(lambda lines: lines[22:] == ["46", ":"])
    inside.resize(80, 40)
    inside.until(lambda lines: (lines[0], lines[38:]) == ("24", ["62", ":"]))
    inside.enter("/777")
    inside.until(lambda lines: lines[0] == "777")
    inside.press("q")
    inside.see("inside>")


def test_python(inside: Person) -> None:
    inside.enter("python3 -q")
    inside.see(">>>")
    inside.enter("import os; os.get_terminal_size()")
    inside.see("os.terminal_size(columns=80, lines=24)")
    inside.resize(91, 31)
    inside.enter("os.get_terminal_size()")
    inside.see("os.terminal_size(columns=91, lines=31)")
    inside.enter("while True: pass")
    inside.press("Enter")
    inside.press("C-c")
    inside.see("KeyboardInterrupt")
    inside.press("C-d")
    inside.see("inside>")


def test_tmux(inside: Person) -> None:
    inside.enter("tmux -f /dev/null new -s own 'exec bash'")
    inside.until(lambda lines: lines[23].startswith("[own]") and lines[0].startswith("inside>"))
    inside.resize(100, 30)
    inside.until(lambda lines: lines[29].startswith("[own]"))
    inside.press("C-b")
    inside.press("%")
    inside.until(lambda lines: all("│" in line for line in lines[:29]))
    inside.resize(70, 20)
    inside.until(
        lambda lines: lines[19].startswith("[own]") and all("│" in one for one in lines[:19])
    )
    inside.enter("while [ $(stty size | cut -c 1-2) = 29 ]; do sleep 0.1; done; stty size")
    inside.until(lambda lines: any(re.search(r"│19 3[45]$", line) for line in lines))
    inside.press("C-d")
    inside.until(lambda lines: not any("│" in line for line in lines))
    inside.press("C-d")
    inside.see("[exited]")


# -- keys -----------------------------------------------------------------------------------------


def run_cat(inside: Person) -> None:
    """On a screen with nothing else. What is typed sooner is shown before it is cleared."""
    inside.enter("clear; echo ready; cat")
    inside.until(lambda lines: "ready" in lines)


def test_control_c_is_the_programs(inside: Person) -> None:
    run_cat(inside)
    inside.enter("line")
    inside.until(lambda lines: lines.count("line") == 2)
    inside.press("C-c")
    inside.enter("echo code=$?")
    inside.see("code=130")


def test_control_z_and_fg(inside: Person) -> None:
    run_cat(inside)
    inside.enter("in front")
    inside.until(lambda lines: lines.count("in front") == 2)
    inside.press("C-z")
    inside.until(lambda lines: any("Stopped" in line for line in lines))
    inside.enter("echo still here")
    inside.see("still here")
    inside.enter("clear; fg")
    inside.see("cat")
    inside.enter("back")
    inside.until(lambda lines: lines.count("back") == 2)
    inside.press("C-d")
    inside.enter("exit 9")
    inside.see("status=9")
    kept_as_it_was(inside)


def test_control_d_ends_it(inside: Person) -> None:
    inside.press("C-d")
    inside.see("status=0")
    kept_as_it_was(inside)


def test_a_command(person: Person, sandbox: Sandbox) -> None:
    options = "-e WORD=word -w /tmp"
    command = "-- sh -c 'tty; pwd; echo $WORD; exit 5'"
    person.enter(f"{COMMAND} shell {options} {sandbox.address} {command}; echo status=$?")
    screen = person.see("status=5")
    assert [line for line in screen if line][-5:-1] == ["/dev/pts/0", "/tmp", "word", "status=5"]


# -- leaving and coming back ----------------------------------------------------------------------


def test_leave_and_come_back(inside: Person, sandbox: Sandbox) -> None:
    inside.enter("vim")
    inside.until(lambda lines: any("VIM - Vi IMproved" in line for line in lines))
    inside.type("iunsaved")
    inside.until(lambda lines: lines[0] == "unsaved")
    inside.press("C-]")
    screen = inside.see("status=0")
    assert any(line.startswith("left process ") for line in screen)
    kept_as_it_was(inside)
    back = next(line for line in screen if "to return: " in line).partition(": ")[2]
    inside.resize(100, 32)
    inside.enter(f"clear; {back.replace('sandboxkit', COMMAND, 1)}; echo status=$?")
    inside.until(lambda lines: lines[0] == "unsaved" and lines[31].startswith("-- INSERT --"))
    assert inside.pane("alternate_on") == "1"
    inside.press("Escape")
    inside.enter(":q!")
    inside.see("inside>")
    inside.enter("exit 6")
    inside.see("status=6")
    kept_as_it_was(inside)


def test_come_back_to_a_prompt(inside: Person, sandbox: Sandbox) -> None:
    """What was there is there; what a program had asked of the terminal is not asked again."""
    inside.enter("clear; printf '\\033[6n'; read -rs -d R answer; echo answered")
    inside.see("answered")
    (process,) = sandbox.processes()
    inside.press("C-]")
    inside.see("status=0")
    inside.enter(f"clear; {COMMAND} shell {sandbox.address} --attach {process.pid}; echo status=$?")
    inside.see("answered")
    inside.enter("echo here=$((40 + 2))")
    screen = inside.see("here=42")
    assert not any(";1R" in line for line in screen)
    inside.press("C-d")
    inside.see("status=0")


def test_another_key(person: Person, sandbox: Sandbox) -> None:
    person.enter(f"{COMMAND} shell --detach-key ^t {sandbox.address}; echo status=$?")
    person.see("inside>")
    person.press("C-]")  # bash looks for the next character in the line
    person.enter("?echo still here")
    person.see("still here")
    person.press("C-t")
    person.see("status=0")
    kept_as_it_was(person)


# -- whatever happens -----------------------------------------------------------------------------


@pytest.fixture
def editing(inside: Person) -> Person:
    """Somebody in a program that has changed all it can of the terminal."""
    inside.enter("vim -c 'set mouse=a'")
    inside.until(lambda lines: any("VIM - Vi IMproved" in line for line in lines))
    assert inside.pane("alternate_on") == "1"
    assert inside.pane("mouse_any_flag") == "1"
    return inside


def client_of(sandbox: Sandbox) -> int:
    """The process of ``sandboxkit shell``."""
    found = subprocess.run(
        ["pgrep", "-f", f"{COMMAND} shell {sandbox.address}$"], capture_output=True, text=True
    )
    return int(found.stdout)


def test_the_sandbox_is_killed(editing: Person, sandbox: Sandbox) -> None:
    sandbox.kill()
    editing.see("sandboxkit: ")
    editing.see("status=1")
    kept_as_it_was(editing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_is_ended_from_outside(editing: Person, sandbox: Sandbox, number: int) -> None:
    """The shell in the sandbox goes on."""
    subprocess.run(["kill", f"-{int(number)}", str(client_of(sandbox))], check=True)
    editing.see(f"status={128 + number}")
    kept_as_it_was(editing)
    (process,) = sandbox.processes()
    assert process.running


def test_nobody_reads_its_output(person: Person, sandbox: Sandbox) -> None:
    command = f"{COMMAND} shell {sandbox.address} -- sh -c 'seq 5; sleep 1; seq 9'"
    person.enter(f"{command} | head -n 1; echo status=${{PIPESTATUS[0]}}")
    person.see("status=141")
    kept_as_it_was(person)


def test_the_shell_outlives_its_killed_client(inside: Person, sandbox: Sandbox) -> None:
    inside.enter("word=kept")
    subprocess.run(["kill", "-9", str(client_of(sandbox))], check=True)
    inside.press("Enter")
    inside.type("\nreset\n")
    inside.prompt()
    (process,) = sandbox.processes()
    inside.enter(f"clear; {COMMAND} shell {sandbox.address} --attach {process.pid}; echo status=$?")
    inside.see("inside>")
    inside.enter("echo it is $word")
    inside.see("it is kept")
    inside.press("C-d")
    inside.see("status=0")


def test_a_second_person_takes_it_over(inside: Person, sandbox: Sandbox) -> None:
    (process,) = sandbox.processes()
    second = Person(columns=100, rows=30)
    try:
        second.enter(f"clear; {COMMAND} shell {sandbox.address} --attach {process.pid}")
        second.see("inside>")
        second.enter("until [ $(stty size | tr ' ' x) = 30x100 ]; do sleep 0.1; done; echo fits")
        second.see("fits")
        inside.see("fits")
        inside.type("x")
        inside.see("[the process takes no more input")
        inside.press("C-]")
        inside.see("status=0")
        second.enter("echo mine")
        second.see("mine")
    finally:
        second.leave()


# -- fresh sandboxes ------------------------------------------------------------------------------


def test_a_fresh_one_ends_with_its_shell(person: Person) -> None:
    session = f"shell-{person.pane('pid')}"
    person.enter(f"{COMMAND} shell -p local --session {session} -e WORD=word; echo status=$?")
    person.until(lambda lines: any(line.startswith("user@") for line in lines))
    assert len(Sandbox.list("local", session=session)) == 1
    person.enter("echo it is $WORD; exit 4")
    person.see("status=4")
    assert Sandbox.list("local", session=session) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_fresh_one_ends_with_its_client(person: Person, number: int) -> None:
    session = f"shell-{person.pane('pid')}"
    person.enter(f"{COMMAND} shell -p local --session {session}; echo status=$?")
    person.until(lambda lines: any(line.startswith("user@") for line in lines))
    subprocess.run(["pkill", f"-{int(number)}", "-f", f"shell -p local --session {session}$"])
    person.see(f"status={128 + number}")
    kept_as_it_was(person)
    assert eventually(lambda: Sandbox.list("local", session=session) == [])


def test_a_fresh_one_that_is_left_lives_on(person: Person) -> None:
    session = f"shell-{person.pane('pid')}"
    person.enter(f"{COMMAND} shell -p local --session {session}; echo status=$?")
    person.until(lambda lines: any(line.startswith("user@") for line in lines))
    person.press("C-]")
    screen = person.see("status=0")
    (info,) = Sandbox.list("local", session=session)
    assert any(f"kill -p local {info.address}" in line for line in screen)
    with Sandbox.connect(info.address) as left:
        assert [one.running for one in left.processes()] == [True]
        left.kill()


# -- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("local:nosuchbox", 1, "sandboxkit: there is no sandbox 'local:nosuchbox'"),
        ("-p memory", 1, "sandboxkit: provider 'memory' has no terminals"),
        ("ADDRESS --attach 99999", 1, "sandboxkit: no such process: 99999"),
        ("ADDRESS --cpu 1", 2, "Error: --cpu is for a fresh sandbox"),
        ("--attach 5", 2, "Error: --attach PID goes with an ADDRESS"),
        ("--detach-key x ADDRESS", 2, "Error: Invalid value for '--detach-key'"),
        ("ADDRESS ls", 2, "Error: Got unexpected extra argument (ls)"),
    ],
)
def test_clear_errors(person: Person, sandbox: Sandbox, words: str, status: int, text: str) -> None:
    words = words.replace("ADDRESS", sandbox.address)
    person.enter(f"clear; {COMMAND} shell {words}; echo status=$?")
    screen = person.see(f"status={status}")
    assert any(line.startswith(text) for line in screen), screen
    kept_as_it_was(person)


def test_a_process_without_a_terminal(person: Person, sandbox: Sandbox) -> None:
    process = sandbox.start("sleep 60")
    person.enter(f"clear; {COMMAND} shell {sandbox.address} --attach {process.pid}; echo status=$?")
    screen = person.see("status=1")
    assert f"  try: sandboxkit logs {sandbox.address} {process.pid}" in screen
    process.kill()


# -- input that is no terminal --------------------------------------------------------------------


def shell(*words: str, given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "shell", *words], input=given, capture_output=True, text=True, timeout=60
    )


def test_piped_input(sandbox: Sandbox) -> None:
    done = shell(sandbox.address, given="echo $((6 * 7)); tty; read line; exit 3\ncat: gone\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "42\nnot a tty\n", "")
    done = shell(sandbox.address, "--", "tr", "a-z", "A-Z", given="loud\n")
    assert (done.returncode, done.stdout) == (0, "LOUD\n")


def test_piped_input_in_a_fresh_one() -> None:
    done = shell("-p", "local", "-e", "A=b", given="echo $A >&2; exit 7")
    assert (done.returncode, done.stderr) == (7, "b\n")
