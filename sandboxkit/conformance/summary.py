"""The report for a terminal."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console
from rich.table import Table

from .record import Record

__all__ = ["summary"]

_MARK = {
    "proved": "[green]proved[/]",
    "refuted": "[bold red]refuted[/]",
    "known failure": "[yellow]known failure[/]",
    "not declared": "[dim]not declared; refuses[/]",
    "not run": "[yellow]not run[/]",
}


def summary(record: Record, width: int, *, colour: bool) -> str:
    """A table of what was shown, capability by capability."""
    subject = record.subject
    counts = Counter(test.outcome for test in record.tests.values())
    table = Table()
    table.add_column("capability")
    table.add_column("shown")
    table.add_column("served by")
    flags = subject.capabilities.flags()
    table.add_row("(every provider)", _MARK[record.core()], "")
    for name, verdict in record.capabilities().items():
        declared = flags[name]
        by = "the core" if name in subject.emulated else "the provider" if declared else ""
        table.add_row(name, _MARK[verdict], by)
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=colour, no_color=not colour)
    console.print(f"{subject.profile}: [bold]{_verdict(record)}[/]")
    console.print(table)
    console.print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    unshown = [name for name, verdict in record.capabilities().items() if verdict == "not run"]
    if record.complete and unshown:
        console.print(f"[red]nothing was run that shows:[/] {', '.join(unshown)}")
    for address in record.left:
        console.print(f"[red]left behind:[/] {address}")
    return text.getvalue()


def _verdict(record: Record) -> str:
    if not record.ok:
        return "does not keep the contract"
    if not record.complete:
        return "keeps what was asked of it; the suite was not run whole"
    return "keeps the contract"
