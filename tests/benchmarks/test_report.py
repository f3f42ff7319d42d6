"""Results in a file and back, the report made of them, and two of them compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxkit_bench.command import main, write
from sandboxkit_bench.compare import changes, condition
from sandboxkit_bench.page import page
from sandboxkit_bench.results import Results, load, save
from sandboxkit_bench.samples import CaseInfo, Finding, Missing, Sample
from sandboxkit_bench.scenarios.starts import START
from sandboxkit_bench.tables import markdown

OURS, SAME, OTHER = "sandboxkit local", "sandboxkit local (A/A)", "docker run --network none"


def a_run(ours: float = 0.01, failing: int = 0) -> Results:
    """Twenty rounds in which the other takes a hundred times as long as ours in a usual run."""
    results = Results(1, "0", "2026-01-01T00:00:00+00:00", 12.0, 7, OURS)
    results.floor = {"fork and wait": [0.001, 0.002]}
    results.machine = {"kernel": "6.1 <b>"}
    times = {OURS: ours, SAME: ours, OTHER: 1.05}
    for name, middle in times.items():
        results.cases.append(CaseInfo(START, name, "forked", "namespaces", "own pid"))
        for block in range(20):
            failed = name == OURS and block < failing
            value = middle * (1 + 0.01 * ((block + len(name)) % 5))
            results.samples.append(
                Sample(
                    START, name, "forked", "namespaces", block, None if failed else value,
                    failure="error" if failed else "", detail="no <machine>" if failed else "",
                    marks={"call": 0.0, "allocated": value / 2, "answered": value},
                )
            )  # fmt: skip
    results.missing.append(Missing("create to answer: crun", "it is not installed"))
    results.findings.append(Finding("stalls", START, OTHER, "2 of 20 took <long>"))
    return results


@pytest.mark.parametrize("name", ["results.json", "results.json.gz"])
def test_a_file_holds_all_of_a_run(tmp_path: Path, name: str) -> None:
    before = a_run(failing=2)
    save(before, tmp_path / name)
    assert load(tmp_path / name) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "not of format"),
        ("[1]", "not of format"),
        ("nonsense", "holds no results"),
        ('{"format": 1, "samples": 3}', "holds no results"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        load(tmp_path / "x.json")


def test_a_sample_says_how_it_began_and_what_keeps_it_apart() -> None:
    with pytest.raises(ValueError, match="start class"):
        Sample("s", "c", "fast", "namespaces", 0, 1.0)
    with pytest.raises(ValueError, match="isolation class"):
        Sample("s", "c", "warm", "good", 0, 1.0)
    with pytest.raises(ValueError, match="either a value or a failure"):
        Sample("s", "c", "warm", "none", 0, None)


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_goals_are_met_only_if_the_whole_interval_is_beyond_them() -> None:
    goal = "| create to answer, faster than docker run "
    met = line_of(markdown(a_run()), goal)
    assert "at least 100" in met
    assert "| met |" in met
    assert "| missed |" in line_of(markdown(a_run(ours=0.02)), goal)
    assert "not decided" in line_of(markdown(a_run(ours=0.0105)), goal)
    assert "| not measured |" in line_of(markdown(a_run()), "| create to answer, numpy and pandas")


def test_failures_are_in_the_report_and_in_its_figures() -> None:
    text = markdown(a_run(failing=12))
    row = line_of(text, f"| {OURS} |")
    assert "12 error" in row
    assert "| failed" in row, "the median of more failures than successes is a failure"
    assert "n too small" in row


def test_the_comparison_with_itself_is_told() -> None:
    assert re.search(r"against itself: holds", markdown(a_run()))


def test_the_page_has_all_pictures_and_needs_nothing_else() -> None:
    text = page(a_run(failing=1))
    assert text.count("<svg") >= 4
    assert "crun" in text
    assert not re.search(r"(src|href)=", text)
    assert "<long>" not in text
    assert "<machine>" not in text


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("ratio_low > 1.05", True),
        ("ratio_low > 3", False),
        ("failures > 0 or ratio_high < 1", False),
        ("failures >= 0 and ratio > 1.9", True),
    ],
)
def test_a_condition_on_changes(text: str, holds: bool) -> None:
    (ours, *_) = changes(a_run(), a_run(ours=0.02))
    assert condition(text)(ours) is holds


@pytest.mark.parametrize("text", ["ratio", "__import__('os')", "ratio > x", "1 < ratio < 2", "("])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no condition"):
        condition(text)


def test_compare_ends_with_1_if_the_condition_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for name, ours in (("a", 0.01), ("b", 0.02)):
        files.append(str(write(a_run(ours), tmp_path / name)[0]))
    same: Callable[..., int] = lambda *words: main(["compare", *files, *words])  # noqa: E731
    assert same() == 0
    assert same("--fail-if", "ratio_low > 1.5") == 1
    assert f"{START}, {OURS}" in capsys.readouterr().err
    assert main(["compare", files[1], files[0], "--fail-if", "ratio_low > 1.5"]) == 0


def test_what_may_cost_is_told_before_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    import click

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(click.Abort):
        main(["e2b", "--only", "ready", "--price", "0.1"])
    told = capsys.readouterr().err
    assert "e2b may charge for this run: up to 65 sandboxes" in told
    assert "at 0.1 an hour" in told


def test_a_scenario_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="use one of start, useful"):
        main(["--only", "nonsense"])
