"""Several reports of the suite beside each other, as a Markdown table.

    python -m sandboxkit.conformance.matrix [--page PAGE] REPORT...

With a page, the table replaces the one that stands there between two comments.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["matrix", "on_page"]

_BEGIN = "<!-- matrix: made by `make matrix` -->"
_END = "<!-- end of matrix -->"

_WORDS = {
    "proved": "yes",
    "not declared": "no",
    "known failure": "with known failures",
    "refuted": "**refuted**",
}
"""What a cell says of a verdict; one that is not among them is said as it is."""


def matrix(reports: Sequence[dict[str, Any]]) -> str:
    """A table with a row a capability and a column a report, in the order given.

    A capability that the provider has natively and the suite proved is "yes"; one that the core
    adds and the suite proved is "by the core". What a report
    does not name, as an older one may not, was not run.

    Args:
        reports: JSON reports of the conformance suite, decoded.

    Raises:
        KeyError: one of them is no report.
    """
    columns = [_column(report) for report in reports]
    names = ["isolation", "contract", *sorted({name for column in columns for name in column})]
    rows = [["", *(f"`{report['profile']}`" for report in reports)]]
    rows.append(["---"] * (len(reports) + 1))
    rows += [
        [name.replace("_", " "), *(column.get(name, "not run") for column in columns)]
        for name in dict.fromkeys(names)
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _column(report: dict[str, Any]) -> dict[str, str]:
    emulated = report["emulated"]
    cells = {
        name: "by the core" if verdict == "proved" and name in emulated else _words(verdict)
        for name, verdict in report["capabilities"].items()
    }
    return {"isolation": report["isolation"], "contract": _words(report["core"]), **cells}


def _words(verdict: str) -> str:
    return _WORDS.get(verdict, verdict)


def on_page(page: str, table: str) -> str:
    """A page with another table between its two comments.

    Raises:
        ValueError: it has no such comments.
    """
    if page.count(_BEGIN) != 1 or page.count(_END) != 1:
        raise ValueError(f"the page must have {_BEGIN} and {_END}, once each")
    before, _, rest = page.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table}{_END}{rest.partition(_END)[2]}"


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandboxkit.conformance.matrix")
    parser.add_argument("--page", type=Path)
    parser.add_argument("reports", type=Path, nargs="+")
    asked = parser.parse_args()
    table = matrix([json.loads(path.read_text("utf-8")) for path in asked.reports])
    if asked.page is None:
        sys.stdout.write(table)
    else:
        asked.page.write_text(on_page(asked.page.read_text("utf-8"), table), "utf-8")


if __name__ == "__main__":
    _main()
