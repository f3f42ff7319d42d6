"""The report as one self-contained page."""

from __future__ import annotations

from html import escape
from itertools import groupby

from .record import Record

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --ok: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.proved, .passed { color: var(--ok) } .refuted, .failed { color: var(--bad); font-weight: 600 }
.known, .not { color: var(--warn) } .declared { color: inherit; opacity: .6 }
details { margin: .5rem 0 } summary { cursor: pointer } pre { overflow-x: auto; font-size: .8rem }
"""


def page(record: Record) -> str:
    """HTML that needs nothing but itself."""
    report = record.as_json()
    title = f"{report['profile']} and the sandboxkit contract"
    facts = {
        "verdict": "keeps the contract" if record.ok else "does not keep the contract",
        "provider": f"{report['provider']} ({report['distribution']} {report['version']})",
        "isolation": report["isolation"],
        "sandboxkit": report["sandboxkit"],
        "python": f"{report['python']} on {report['platform']}",
        "finished": f"{report['finished']}, after {report['seconds']} s",
        "whole suite": "yes" if report["complete"] else "no",
    }
    rows = "".join(_row(name, escape(str(value))) for name, value in facts.items())
    left = "".join(f"<li>{escape(address)}" for address in report["left"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><table>{rows}</table>"
        + (f"<h2>Left behind</h2><ul>{left}</ul>" if left else "")
        + f"<h2>Capabilities</h2><table>{_capabilities(record)}</table>"
        + f"<h2>Tests</h2>{_tests(record)}</html>\n"
    )


def _row(name: str, cell: str) -> str:
    return f"<tr><th scope=row>{escape(name)}<td>{cell}"


def _mark(verdict: str) -> str:
    return f'<span class="{verdict}">{verdict}</span>'


def _capabilities(record: Record) -> str:
    rows = [_row("what every provider does", _mark(record.core()))]
    for name, verdict in record.capabilities().items():
        by = " (by the core)" if name in record.subject.emulated else ""
        rows.append(_row(name, _mark(verdict) + by))
    return "".join(rows)


def _tests(record: Record) -> str:
    by_topic = sorted(record.tests.items(), key=lambda pair: (pair[1].topic, pair[0]))
    parts = []
    for topic, group in groupby(by_topic, key=lambda pair: pair[1].topic):
        tests = list(group)
        bad = sum(test.outcome != "passed" for _, test in tests)
        rows = "".join(
            f"<tr><td>{escape(name)}<td>{_mark(test.outcome)}"
            f'<td class="number">{test.seconds:.2f} s'
            + (f"<tr><td colspan=3><pre>{escape(test.detail)}</pre>" if test.detail else "")
            for name, test in tests
        )
        note = f", {bad} not passed" if bad else ""
        parts.append(
            f"<details{' open' if bad else ''}><summary>{escape(topic)}: {len(tests)} tests{note}"
            f"</summary><table>{rows}</table></details>"
        )
    return "".join(parts)
