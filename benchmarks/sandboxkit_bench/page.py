"""The report as one page of HTML that needs nothing else."""

from __future__ import annotations

import itertools
import math
from html import escape

from .figures import row, rows
from .goals import judge
from .results import Results
from .samples import Sample
from .scenarios.load import RAMP
from .stats import median, quantile
from .svg import bars, curves, forest, steps
from .tables import finding_lines, goal_table, same_lines, scenario_table
from .units import factor, quantity
from .vocabulary import PHASES, START_CLASSES

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c1917; --dim: #78716c; --line: #d6d3d1; --back: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e5e4; --dim: #a8a29e; --line: #44403c; --back: #1c1917; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
svg { width: 100%; height: auto; margin: .5rem 0; }
svg text { font: 12px system-ui, sans-serif; } svg text:not([fill]) { fill: var(--ink); }
.tick { fill: var(--dim) !important; } .grid { stroke: var(--line); }
.one { stroke: var(--dim); stroke-dasharray: 3 3; } .dot { fill: #0b6e99; }
.interval { stroke: #0b6e99; stroke-width: 3; opacity: .5; } .bound { stroke: #c2410c;
  stroke-width: 2; }
.met { color: #4d7c0f; } .missed { color: #c2410c; } h2 { margin-top: 2.5rem; }
p.dim, li { color: var(--dim); }
"""


def time_word(value: float) -> str:
    return quantity(value, "s")


def table_of(lines: list[str]) -> str:
    """A table of Markdown as HTML."""
    cells = [[escape(cell.strip()) for cell in line.strip("|").split(" | ")] for line in lines]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    body = ""
    for line in cells[2:]:
        body += "<tr>" + "".join(f"<td{_class(cell)}>{cell}</td>" for cell in line) + "</tr>"
    return f"<table><tr>{head}</tr>{body}</table>"


def _class(cell: str) -> str:
    word = cell.rpartition(": ")[2]
    if word == "met":
        return ' class="met"'
    return ' class="missed"' if word.startswith("missed") else ""


def bullets(lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line.removeprefix('- '))}</li>" for line in lines)
    return f"<ul>{items}</ul>"


def spans_of(samples: list[Sample]) -> list[tuple[str, float]]:
    """The median length of each span between the moments that all samples have."""
    good = [one for one in samples if one.value is not None and one.marks]
    if not good:
        return []
    shared = set.intersection(*(set(one.marks) for one in good))
    ordered = [phase for phase in PHASES if phase in shared]
    found = []
    for before, after in itertools.pairwise(ordered):
        lengths = [one.marks[after] - one.marks[before] for one in good]
        if (length := median(lengths)) > 0:
            found.append((f"to {after}", length))
    return found


def scenario(results: Results, name: str) -> str:
    """A scenario: its table, how its times are spread, where they go."""
    out = [f"<h2>{escape(name)}</h2>", table_of(scenario_table(results, name))]
    figures = rows(results, name)
    if figures and figures[0].case.unit == "s":
        series = [
            (one.case.contender, [each.censored for each in results.of(name, one.case.contender)])
            for one in figures
        ]
        out.append(steps(series, time_word, f"{name}: share of attempts that ended within a time"))
        spans = [
            (one.case.contender, spans_of(results.of(name, one.case.contender))) for one in figures
        ]
        several = [one for one in spans if len(one[1]) > 1]
        out.append(bars(several, time_word, f"{name}: where the time goes"))
    if name == RAMP:
        out.append(climb(results))
    return "".join(out)


def climb(results: Results) -> str:
    """How long answers take at each rate."""
    lines = ["| rate | n | median | p95 | failed |", "|---|"]
    drawn: list[tuple[str, list[tuple[float, float]]]] = []
    for case in results.cases:
        if case.scenario != RAMP:
            continue
        samples = results.of(RAMP, case.contender)
        half: list[tuple[float, float]] = []
        most: list[tuple[float, float]] = []
        for rate in sorted({one.rate for one in samples if one.rate is not None}):
            here = [one.censored for one in samples if one.rate == rate]
            half.append((rate, median(here)))
            most.append((rate, quantile(here, 0.95)))
            failed = sum(math.isinf(value) for value in here)
            words = [
                f"{case.contender}, {rate:g}/s",
                str(len(here)),
                time_word(median(here)),
                time_word(quantile(here, 0.95)),
                str(failed),
            ]
            lines.append("| " + " | ".join(words) + " |")
        if len(half) > 1:
            drawn += [(f"{case.contender}, median", half), (f"{case.contender}, p95", most)]
    picture = curves(drawn, lambda rate: f"{rate:g}/s", time_word, "times of answers, by rate")
    return table_of(lines) + picture


def ratios(results: Results) -> str:
    """The goals that are ratios, as a picture."""
    found = [
        (one.goal.what, one.figure.value, one.figure.low, one.figure.high, one.goal.bound)
        for one in judge(results)
        if one.goal.unit == "x" and not math.isnan(one.figure.value)
    ]
    return forest(found, factor, "goals that are ratios, with 95 % intervals")


def all_ratios(results: Results) -> str:
    """Every contender's median beside the reference's."""
    found = []
    for case in results.cases:
        one = row(results, case)
        if one.ratio is not None and case.unit == "s":
            name = f"{case.scenario}: {case.contender}"[:56]
            found.append((name, one.ratio.value, one.ratio.low, one.ratio.high, None))
    return forest(found, factor, "medians as multiples of the reference's")


def floor_table(results: Results) -> str:
    lines = ["| what the machine itself takes | best | median |", "|---|"]
    for name, values in results.floor.items():
        lines.append(f"| {name} | {time_word(min(values))} | {time_word(median(values))} |")
    return table_of(lines)


def page(results: Results) -> str:
    """The whole page."""
    starts = [f"{name}: {text}" for name, text in START_CLASSES.items()]
    missing = [f"{one.what}: {one.why} {one.fix}".rstrip() for one in results.missing]
    findings = finding_lines(results)
    met = sum(one.word == "met" for one in judge(results))
    about = (
        f"{results.started}, sandboxkit {results.version}, {results.seconds:.0f} s, seed "
        f"{results.seed}. All else is compared with {results.reference}. Ratios are of contenders "
        "that took turns in one run; failed attempts count as slower than any deadline."
    )
    parts = [
        f"<h1>sandboxkit bench</h1><p class=dim>{escape(about)}</p>",
        f"<h2>Goals: {met} met of {len(judge(results))}</h2>",
        table_of(goal_table(results)),
        ratios(results),
        "<h2>The same against itself</h2>",
        bullets(same_lines(results)),
        "<h2>Findings</h2>" if findings else "",
        bullets(findings),
        "<h2>Not measured</h2>" if missing else "",
        bullets(missing),
        *(scenario(results, name) for name in results.scenarios()),
        "<h2>All ratios</h2>",
        all_ratios(results),
        "<h2>The machine</h2>",
        floor_table(results),
        bullets([f"{name}: {value}" for name, value in results.machine.items()]),
        "<h2>Words</h2>",
        bullets(starts),
    ]
    title = f"sandboxkit bench, {results.started}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    )
