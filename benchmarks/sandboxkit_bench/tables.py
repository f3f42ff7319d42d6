"""The report as Markdown."""

from __future__ import annotations

import math

from .figures import Row, floor_of, ratio_of, rows
from .goals import judge, shown
from .results import Results
from .stats import Interval
from .units import factor, quantity

__all__ = ["markdown"]


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    """A table of Markdown."""
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return out + ["| " + " | ".join(line) + " |" for line in lines]


def between(one: Interval, unit: str) -> str:
    """A figure with its interval."""
    if not one.known:
        return f"{quantity(one.value, unit)} (not enough data for an interval)"
    low, high = quantity(one.low, unit), quantity(one.high, unit)
    return f"{quantity(one.value, unit)} ({low} to {high})"


def ratio_text(one: Row) -> str:
    if one.ratio is None:
        return "1"
    if math.isnan(one.ratio.value):
        return "no ratio"
    if not one.ratio.known:
        return f"{factor(one.ratio.value)} (not enough data)"
    text = f"{factor(one.ratio.value)} ({factor(one.ratio.low)} to {factor(one.ratio.high)})"
    return f"{text}, {one.word}" if one.word in ("tied", "not enough data") else text


def failures_text(one: Row) -> str:
    """How many attempts failed, and of what."""
    if not one.failures:
        return "0"
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(one.failures.items()))
    return f"{kinds}; {one.success[0]:.0%} to {one.success[1]:.0%} succeed"


def scenario_table(results: Results, scenario: str) -> list[str]:
    """The figures of a scenario, a contender a line."""
    lines = []
    floor = floor_of(results, scenario)
    for one in rows(results, scenario):
        unit = one.case.unit
        above = [factor(one.middle.value / floor[1])] if floor else []
        lines.append(
            [
                one.case.contender,
                one.case.start_class,
                one.case.isolation + (f" (seen: {one.case.probed})" if one.case.probed else ""),
                str(one.attempts),
                failures_text(one),
                quantity(one.best, unit),
                between(one.middle, unit),
                "n too small" if one.p95 is None else quantity(one.p95, unit),
                "n too small" if one.p99 is None else quantity(one.p99, unit),
                ratio_text(one),
                *above,
            ]
        )
    head = ["contender", "start", "isolation", "n", "failed", "best", "median (95 %)", "p95",
            "p99", "times the reference's median"]  # fmt: skip
    return table([*head, f"times the floor ({floor[0]})"] if floor else head, lines)


def goal_table(results: Results) -> list[str]:
    """What is to be reached, and whether this run shows it."""
    lines = []
    for one in judge(results):
        unit = one.goal.unit
        sign = "at least" if one.goal.least else "at most"
        low, high = shown(one.figure.low, unit), shown(one.figure.high, unit)
        interval = f"{low} to {high}" if not math.isnan(one.figure.low) else "none"
        least = ""
        if one.goal.floor is not None:
            least = f"{shown(one.goal.floor, unit)}: {one.floor_word}"
        lines.append(
            [
                one.goal.what,
                f"{sign} {shown(one.goal.bound, unit)}",
                shown(one.figure.value, unit),
                interval,
                one.word,
                least,
            ]
        )
    return table(["what", "goal", "here", "95 % interval", "goal met?", "must be shown"], lines)


def same_lines(results: Results) -> list[str]:
    """What the comparisons of a case with itself say: what a ratio is where nothing differs."""
    out = []
    for case in results.cases:
        if not case.contender.endswith("(A/A)"):
            continue
        ratio = ratio_of(results, case.scenario, case.contender, case.contender[:-6])
        text = f"{factor(ratio.value)} ({factor(ratio.low)} to {factor(ratio.high)})"
        if not ratio.known:
            word = "not enough data"
        else:
            word = "holds" if ratio.low <= 1 <= ratio.high else "DOES NOT HOLD: believe no ratio"
        out.append(f"- {case.scenario}: {text} against itself: {word}")
    return out


def finding_lines(results: Results) -> list[str]:
    """What a reader must know, a line each."""
    out = []
    for one in results.findings:
        where = ", ".join(word for word in (one.scenario, one.contender) if word)
        out.append(f"{one.kind}, {where}: {one.text}" if where else f"{one.kind}: {one.text}")
    return out


def markdown(results: Results) -> str:
    """The whole report."""
    out = [
        f"# sandboxkit bench, {results.started}",
        "",
        f"sandboxkit {results.version}; {results.seconds:.0f} s; seed {results.seed}. Times are of",
        "this machine, now; ratios are of contenders that took turns in one run.",
        "",
        "## Goals",
        "",
        *goal_table(results),
        "",
        "## The same against itself",
        "",
        *same_lines(results),
        "",
    ]
    for scenario in results.scenarios():
        out += [f"## {scenario}", "", *scenario_table(results, scenario), ""]
    if results.missing:
        out += ["## Not measured", ""]
        out += [f"- {one.what}: {one.why} {one.fix}".rstrip() for one in results.missing] + [""]
    if results.findings:
        out += ["## Findings", ""]
        out += [f"- {line}" for line in finding_lines(results)] + [""]
    if results.floor:
        out += ["## The machine", ""]
        lines = [
            [name, quantity(min(values), "s"), quantity(sorted(values)[len(values) // 2], "s")]
            for name, values in results.floor.items()
        ]
        out += [*table(["floor", "best", "median"], lines), ""]
        out += [f"- {name}: {value}" for name, value in results.machine.items()] + [""]
    return "\n".join(out)
