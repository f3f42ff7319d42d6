"""A bar that shows how far a transfer has come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .output import console

if TYPE_CHECKING:
    from sandboxkit import TransferProgress

__all__ = ["copying"]

WIDEST = 30
"""Characters of a path beside the bar."""


@contextmanager
def copying() -> Iterator[Callable[[TransferProgress], None] | None]:
    """Show a bar on a terminal; gives what is to be told of progress, nothing where nobody looks.

    Ctrl-C ends it with a word on how to go on.
    """
    try:
        if not sys.stderr.isatty():
            yield None
            return
        with _bar() as tell:
            yield tell
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on from here", err=True)
        raise


@contextmanager
def _bar() -> Iterator[Callable[[TransferProgress], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[files]}  {task.description}", markup=False),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, files="")

        def tell(progress: TransferProgress) -> None:
            # The name may come from inside the sandbox, and must not command the terminal.
            path = "".join(one if one.isprintable() else "?" for one in progress.path)
            bar.update(
                task,
                completed=progress.bytes_done,
                total=progress.bytes_total,
                files=f"{progress.files_done}/{progress.files_total} files",
                description=path if len(path) <= WIDEST else f"...{path[3 - WIDEST :]}",
            )

        yield tell
