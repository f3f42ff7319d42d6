"""What the commands print: tables for people, JSON for programs, errors in one piece."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandboxkit.errors import CommandTimeoutError, SandboxError

from .diagnosis import hint_for

if TYPE_CHECKING:
    from rich.console import Console

    from sandboxkit.models import CommandOutput

__all__ = [
    "State",
    "age",
    "console",
    "json_option",
    "output_fields",
    "plain",
    "print_error",
    "print_json",
    "print_table",
    "print_usage",
    "waiting",
]

PATIENCE = 2.0
"""Seconds after which a terminal is told what is being waited for."""

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(slots=True)
class State:
    """What the whole command line has in common.

    Attributes:
        json: whether programs read the output.
        profile: the one that was named, if one was.
    """

    json: bool = False
    profile: str | None = None


def json_option(command: _F) -> _F:
    """Give a command ``--json``; it finds the answer in `State`."""

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.ensure_object(State).json = value

    option = click.option(
        "--json",
        is_flag=True,
        is_eager=True,  # what is wrong with the other options is said in JSON, too
        callback=note,
        expose_value=False,
        help="Print JSON for programs.",
    )
    return option(command)


def console(*, stderr: bool = False) -> Console:
    """Where to print; as wide as need be where nobody looks."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 1000
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without rules, one line for each row where the terminal is wide enough."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """A value in JSON's own types: times in ISO 8601, bytes as text, sets sorted."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def print_error(error: SandboxError | OSError, state: State) -> None:
    """Say what went wrong on standard error, and what to type next."""
    if state.json:
        click.echo(json.dumps({"error": _error_fields(error, state)}), err=True)
        return
    message = error.message if isinstance(error, SandboxError) else _os_message(error)
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    prefix = click.style("sandboxkit:", fg="red", bold=True) if color else "sandboxkit:"
    click.echo(f"{prefix} {message}", err=True)
    if isinstance(error, SandboxError) and error.hint:
        click.echo(f"  try: {hint_for(error, state.profile)}", err=True)


def _error_fields(error: SandboxError | OSError, state: State) -> dict[str, Any]:
    if not isinstance(error, SandboxError):
        return {"code": "os", "message": _os_message(error)}
    names = ("op", "provider", "sandbox_id", "outcome", "retryable", "retry_after", "hint")
    told = {name: getattr(error, name) for name in names}
    told["hint"] = hint_for(error, state.profile) or error.hint
    fields = {"code": error.code, "message": error.message, **told}
    if isinstance(error, CommandTimeoutError):
        fields["result"] = output_fields(error.result)
    return fields


def output_fields(output: CommandOutput) -> dict[str, Any]:
    """What a command wrote, for JSON."""
    return {
        "stdout": output.stdout,
        "stderr": output.stderr,
        "stdout_total": output.stdout_total,
        "stderr_total": output.stderr_total,
        "stdout_truncated": output.stdout_truncated,
        "stderr_truncated": output.stderr_truncated,
        "duration": output.duration,
    }


def print_usage(error: click.ClickException, state: State) -> None:
    """Say what is wrong with the command line."""
    if state.json:
        told = {"code": "usage", "message": error.format_message()}
        click.echo(json.dumps({"error": told}), err=True)
    else:
        error.show()


def _os_message(error: OSError) -> str:
    if error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def age(moment: datetime | None) -> str:
    """How long ago, or until, in one unit: ``5m``; a dash for never."""
    if moment is None:
        return "-"
    seconds = abs((datetime.now(UTC) - moment).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on a terminal what is being waited for, if it takes more than `PATIENCE`."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.status import Status

    status = Status(what, console=console(stderr=True))
    timer = threading.Timer(PATIENCE, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
