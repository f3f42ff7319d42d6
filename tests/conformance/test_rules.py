"""What makes a green run mean something: each way to be green for nothing is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandboxkit.capabilities import Capabilities
from sandboxkit.conformance import roster, selection
from sandboxkit.conformance.record import Record, lost_proofs
from sandboxkit.conformance.selection import Needs
from sandboxkit.conformance.summary import summary
from sandboxkit.conformance.target import Subject
from tests.conformance.broken import register

ROOT = Path(__file__).parents[2]
CONFTEST = 'pytest_plugins = ["sandboxkit.conformance.plugin"]\n'
STAR = "from sandboxkit.conformance.suite import *\n"
FAILED, USAGE = 1, 4


@dataclass(frozen=True)
class Ran:
    code: int
    said: str


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    site = tmp_path_factory.mktemp("site")
    register(site)
    return {**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "COLUMNS": "200"}


@pytest.fixture
def author(tmp_path: Path, environment: dict[str, str]):
    """Runs pytest as an author of a provider does, in a folder with these two files."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*arguments: str, conftest: str = CONFTEST, tests: str = STAR) -> Ran:
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_conformance.py").write_text(tests)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr)

    return run


def test_two_small_files_are_enough(author, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ran = author("--sandbox-profile", "memory", f"--report={report}", "--only", "files")
    assert ran.code == 0, ran.said
    told = json.loads(report.read_text())
    assert told["ok"] is True
    assert told["complete"] is False
    assert told["provider"] == told["profile"] == "memory"
    assert told["capabilities"]["file_ops"] == "proved"
    assert told["tests"]["test_ranges"]["outcome"] == "passed"
    assert {test["topic"] for test in told["tests"].values()} == {"files"}


def test_no_provider_is_a_usage_error(author) -> None:
    ran = author()
    assert ran.code == USAGE
    assert "--sandbox-profile" in ran.said


@pytest.mark.parametrize("name", ["no-such-provider", "memry"])
def test_a_provider_that_cannot_work_is_a_usage_error(author, name: str) -> None:
    ran = author("--sandbox-profile", name)
    assert ran.code == USAGE
    assert name in ran.said
    assert "passed" not in ran.said


def test_an_unknown_topic_is_a_usage_error(author) -> None:
    ran = author("--sandbox-profile", "memory", "--only", "everything")
    assert ran.code == USAGE
    assert "lifecycle" in ran.said


def test_a_skip_is_a_failure(author) -> None:
    skipping = (
        CONFTEST
        + "import pytest\n@pytest.fixture\ndef sandbox():\n    pytest.skip('no credentials')\n"
    )
    ran = author("--sandbox-profile", "memory", "--only", "files", conftest=skipping)
    assert ran.code == FAILED
    assert "may not skip" in ran.said
    assert " passed" not in ran.said


def test_a_removed_test_is_refused(author) -> None:
    ran = author("--sandbox-profile", "memory", tests=STAR + "del test_ranges\n")
    assert ran.code == USAGE
    assert "removed or shadowed: test_ranges" in ran.said


def test_a_shadowed_test_is_refused(author) -> None:
    for arguments in ((), ("--only", "files")):
        hiding = STAR + "def test_ranges():\n    pass\n"
        ran = author("--sandbox-profile", "memory", *arguments, tests=hiding)
        assert ran.code == USAGE
        assert "test_ranges" in ran.said
        assert "hides" in ran.said


def test_tests_of_ones_own_are_welcome(author) -> None:
    more = STAR + "def test_of_my_own(sandbox):\n    sandbox.files.write('x', '')\n"
    ran = author("--sandbox-profile", "memory", "-k", "test_of_my_own", tests=more)
    assert ran.code == 0, ran.said
    assert "1 passed" in ran.said


def test_a_known_failure_needs_a_reason_and_a_match(author, tmp_path: Path) -> None:
    known = tmp_path / "known_failures.txt"
    for line, says in (
        ("test_ranges\n", "reason"),
        ("test_no_longer_there  # why not\n", "test_no_longer_there"),
    ):
        known.write_text(line)
        ran = author("--sandbox-profile", "memory", f"--known-failures={known}")
        assert ran.code == USAGE
        assert says in ran.said


def test_a_known_failure_is_told_and_strict(author, tmp_path: Path) -> None:
    known, report = tmp_path / "known_failures.txt", tmp_path / "report.json"
    known.write_text("# ours\n\ntest_ranges  # the vendor reads to the end\n")
    arguments = (f"--known-failures={known}", f"--report={report}", "--only", "files")
    ran = author("--sandbox-profile", "broken-ignores-length", *arguments)
    assert ran.code == 0, ran.said
    told = json.loads(report.read_text())
    assert told["tests"]["test_ranges"]["outcome"] == "known failure"
    assert "the vendor reads to the end" in told["tests"]["test_ranges"]["detail"]
    assert told["core"] == "known failure"
    mended = author("--sandbox-profile", "memory", *arguments)
    assert mended.code == FAILED
    assert "XPASS" in mended.said


def test_what_a_run_leaves_is_its_failure(author) -> None:
    leaving = STAR + (
        "def test_leaves_a_snapshot(sandbox):\n"
        "    sandbox.snapshot()\n"
        "def test_leaves_a_sandbox(target):\n"
        "    target.create()\n"
    )
    ran = author("--sandbox-profile", "memory", "-k", "test_leaves", tests=leaving)
    assert ran.code == FAILED
    assert "the test left sandboxes behind" in ran.said
    assert re.search(r"left behind: memory:\w+", ran.said)


def test_a_lost_proof_is_a_failure(author, tmp_path: Path) -> None:
    report = tmp_path / "before.json"
    first = ("--sandbox-profile", "memory", "--only", "files", "--only", "snapshots")
    assert author(*first, f"--report={report}").code == 0
    same = author(*first, f"--proofs={report}")
    assert same.code == 0, same.said
    less = author("--sandbox-profile", "memory", "--only", "files", f"--proofs={report}")
    assert less.code == FAILED
    assert "a proof is lost: snapshots: proved, now not run" in less.said
    none = author(*first, f"--proofs={tmp_path}/never-written.json")
    assert none.code == USAGE
    assert "never-written.json" in none.said


def test_a_proof_that_was_never_given_is_not_lost() -> None:
    before = {"core": "proved", "capabilities": {"pause": "refuted"}, "tests": {}}
    now = {"core": "proved", "capabilities": {"pause": "not run"}, "tests": {}}
    assert lost_proofs(before, now) == []


def test_what_no_test_shows_is_named() -> None:
    capabilities = Capabilities(isolation="none", commands=False, pause=True, pause_keeps="memory")
    record = Record(Subject("p", "p", "", "", capabilities, frozenset()))
    needs = {
        "pause": Needs(frozenset({"pause"}), frozenset()),
        "core": Needs(frozenset(), frozenset()),
    }
    for name, need in needs.items():
        record.expect(name, "topic", need)
        record.add(name, "passed", 0.1)
    told = summary(record, 100, colour=False)
    assert "does not keep the contract" in told
    unshown = told.partition("nothing was run that shows:")[2]
    assert "snapshots" in unshown
    assert not re.search(r"\bpause\b", unshown)
    assert re.search(r"snapshots +│ not run +│ +│", told), "who serves what nobody declared?"


def test_the_page_needs_nothing_but_itself(author, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    ran = author(
        "--sandbox-profile", "broken-ignores-length", "--only", "files", f"--report={page}"
    )
    assert ran.code == FAILED
    text = page.read_text("utf-8")
    assert "does not keep the contract" in text
    assert "test_ranges" in text
    assert not re.search(r"(?:src|href)\s*=", text)


def test_a_mark_that_names_no_capability_is_refused() -> None:
    mark = pytest.mark.needs("telepathy").mark
    item = SimpleNamespace(
        nodeid="test_x",
        function=None,
        iter_markers=lambda name: [mark] if name == "needs" else [],
    )
    with pytest.raises(pytest.UsageError, match="telepathy"):
        selection.needs_of(item)


def test_every_capability_is_proved_and_its_lack_too(request: pytest.FixtureRequest) -> None:
    import importlib

    needs = []
    for topic in roster.TOPICS:
        module = importlib.import_module(f"{roster.SUITE}.test_{topic}")
        for name, value in vars(module).items():
            if name.startswith("test_") and value.__module__ == module.__name__:
                marks = [*getattr(value, "pytestmark", ())]
                whole = getattr(module, "pytestmark", ())
                marks += whole if isinstance(whole, list | tuple) else [whole]
                needs.append(
                    selection.Needs(
                        frozenset(n for m in marks if m.name == "needs" for n in m.args),
                        frozenset(n for m in marks if m.name == "without" for n in m.args),
                    )
                )
    assert selection.unproved(needs) == {
        "no test needs it": [],
        "no test runs without it": [],
    }


def test_the_command_is_the_other_door(environment: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "{profile}.json"
    command = [sys.executable, "-m", "sandboxkit.cli", "conformance"]
    arguments = ["memory", "--only", "files", "--report", str(report)]
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keeps what was asked of it" in done.stdout
    assert json.loads((tmp_path / "memory.json").read_text())["ok"] is True
    told = subprocess.run(
        [*command, "memory", "--only", "files", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [one["profile"] for one in json.loads(told.stdout)] == ["memory"]
    unknown = subprocess.run(
        [*command, "no-such-provider"], env=environment, capture_output=True, text=True, check=False
    )
    assert unknown.returncode == USAGE
    assert "no-such-provider" in unknown.stdout + unknown.stderr
