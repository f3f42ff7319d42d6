"""The table of what providers can do is that of their reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandboxkit.conformance.matrix import matrix, on_page

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "docs" / "conformance").glob("*.json"))


def reports() -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in REPORTS}


def test_the_page_has_the_table_of_the_reports() -> None:
    page = (ROOT / "docs" / "providers" / "README.md").read_text("utf-8")
    columns = [name.strip("` ") for name in header(page)]
    known = reports()
    assert sorted(columns) == sorted(known), "run: make matrix"
    table = matrix([known[name] for name in columns])
    assert on_page(page, table) == page, "run: make matrix"


def header(page: str) -> list[str]:
    return next(line for line in page.splitlines() if line.startswith("|")).split("|")[2:-1]


def test_a_page_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="once each"):
        on_page("text", "| table |")


def test_known_failures_and_what_was_not_run_are_told_apart_from_proofs() -> None:
    report = next(iter(reports().values())) | {
        "emulated": ["fork"],
        "capabilities": {
            "fork": "proved",
            "ports": "not declared",
            "trees": "known failure",
            "watch": "refuted",
            "users": "not run",
        },
    }
    cells = [line.split(" | ")[1].rstrip(" |") for line in matrix([report]).splitlines()[4:]]
    assert cells == ["by the core", "no", "with known failures", "not run", "**refuted**"]
