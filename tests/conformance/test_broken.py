"""Every broken provider is rejected, by the tests that it names and by no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.broken import BROKEN, Broken, all_names, register

ROOT = Path(__file__).parents[2]
SUITE = "sandboxkit.conformance.suite"
AT_ONCE = 4
"""Runs at a time: a run of the suite mostly waits."""
MATRIX = bool(os.environ.get("SANDBOXKIT_BROKEN_MATRIX"))
"""Hold each against all of its topics, to see that nothing else rejects it: `make broken`."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    register(directory)
    return directory


@pytest.fixture(scope="module")
def reports(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What the suite says of each of them. Random sequences are another test's matter."""
    directory = tmp_path_factory.mktemp("reports")
    waiting = [batch for group in groups() for batch in batches(group)]
    running: list[subprocess.Popen[str]] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            running.append(judge(waiting.pop(), site, directory))
        running.pop(0).communicate()
    return {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}


def groups() -> Iterator[list[Broken]]:
    """Those that are held against the same topics."""
    all_names()
    by_topics: dict[tuple[str, ...], list[Broken]] = {}
    for one in BROKEN.values():
        by_topics.setdefault((one.base, *one.topics) if MATRIX else (one.base,), []).append(one)
    yield from by_topics.values()


def batches(group: list[Broken]) -> Iterator[list[Broken]]:
    size = -(-len(group) // AT_ONCE)
    for start in range(0, len(group), size):
        yield group[start : start + size]


def judge(batch: list[Broken], site: Path, reports: Path) -> subprocess.Popen[str]:
    settings = ROOT / "sandboxkit" / "conformance" / "pytest.ini"
    arguments = ["-c", str(settings), "--rootdir", str(ROOT), "-p", "no:cacheprovider", "-q"]
    arguments += ["-p", "sandboxkit.conformance.plugin", "--pyargs", SUITE, "-k", "not test_model"]
    arguments += ["--report", str(reports / "{profile}.json"), "--tb=no"]
    if MATRIX:
        arguments += [word for topic in batch[0].topics for word in ("--only", topic)]
    else:
        arguments += ["-p", "tests.conformance.broken.named"]
    for one in batch:
        arguments += ["--sandbox-profile", one.name]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        env={**os.environ, "PYTHONPATH": f"{site}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", all_names())
def test_rejected_by_its_tests_and_no_others(reports: dict[str, dict], name: str) -> None:
    assert name in reports, "the suite did not come to its end"
    run = {test.partition("[")[0] for test in reports[name]["tests"]}
    failed = {
        test.partition("[")[0]
        for test, result in reports[name]["tests"].items()
        if result["outcome"] != "passed"
    }
    expected = {test for test in BROKEN[name].caught_by if test in run}
    assert expected
    assert failed == expected
    assert not reports[name]["ok"]


def test_there_are_enough_of_them() -> None:
    assert len(all_names()) >= 40
