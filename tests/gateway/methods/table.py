"""The table of all methods in the documentation: a section for each SDK, as a run has found it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "e2b-methods.md"


def section_of(rows: Mapping[str, str]) -> str:
    """The table of one SDK."""
    lines = [f"| `{name.replace('.static.', '.')}` | {rows[name]} |" for name in _ordered(rows)]
    return "\n".join(["| method | here |", "|---|---|", *lines])


def _ordered(rows: Mapping[str, str]) -> list[str]:
    """Those that work first; a static one stands after its namesake of an object."""
    return sorted(
        rows, key=lambda name: (rows[name] != "works", name.replace(".static.", "."), name)
    )


def documented(title: str) -> str:
    """The table that stands in the documentation."""
    return _place(title, PAGE.read_text("utf-8"))[2]


def write(title: str, rows: Mapping[str, str]) -> None:
    """Put the table of one SDK into the documentation."""
    before, heading, _, after = _place(title, PAGE.read_text("utf-8"))
    PAGE.write_text(f"{before}{heading}{section_of(rows)}\n{after}", "utf-8")


def _place(title: str, text: str) -> tuple[str, str, str, str]:
    found = re.search(
        rf"(^## {re.escape(title)}\n\n)(.*?)\n(\n## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{PAGE} has no section {title}"
    return text[: found.start()], found[1], found[2], found[3] + text[found.end() :]
