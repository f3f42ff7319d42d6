"""``cp``: files and directories into a sandbox and out of one."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sandboxkit.errors import PathNotFoundError

from .addresses import open_sandbox
from .options import profile_option
from .output import State, json_option, print_json, waiting
from .progress import copying

if TYPE_CHECKING:
    from sandboxkit import Sandbox, TransferSummary

__all__ = ["cp"]

_INSIDE = re.compile(r"(?P<address>[a-z][\w-]*:[^:/]+|[^:/.][^:/]*):(?P<path>.*)", re.DOTALL)


class _Place(NamedTuple):
    address: str  # empty for a local one
    path: str


def _place(text: str) -> _Place:
    found = _INSIDE.fullmatch(text)
    if found is None:
        return _Place("", text)
    return _Place(found["address"], found["path"] or ".")


@click.command()
@profile_option
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--exclude", metavar="PATTERN", multiple=True, help="Leave these out, as a .gitignore does."
)
@click.option("--checksum", is_flag=True, help="Compare what is there by content, not by time.")
@click.option("-u", "--user", metavar="USER", help="Who reads or writes in the sandbox.")
@json_option
@click.pass_context
def cp(
    ctx: click.Context,
    profile: str | None,
    source: str,
    target: str,
    exclude: tuple[str, ...],
    checksum: bool,
    user: str | None,
) -> None:
    """Copy a file or directory: one of SRC and DST is ADDRESS:PATH, the other is here.

    `-` is this command's own input or output. A directory becomes DST; one that ends with a slash,
    or is `.`, gets the copy inside it, and so does a file any directory that is there. What is
    there already is not copied again: after an interruption, type it again.
    """
    origin, end = _place(source), _place(target)
    if bool(origin.address) == bool(end.address):
        raise click.UsageError("one of SRC and DST must be ADDRESS:PATH, the other a local path")
    with open_sandbox(origin.address or end.address, profile) as sandbox:
        if source == "-":
            with waiting("copying"):
                sandbox.files.write(end.path, sys.stdin.buffer, user=user)
        elif target == "-":
            _print(sandbox, origin.path, user)
        else:
            with copying() as progress:
                copy = _download if origin.address else _upload
                options = {
                    "exclude": exclude,
                    "verify": "checksum" if checksum else "time",
                    "progress": progress,
                    "user": user,
                }
                summary = copy(sandbox, origin.path, end.path, options)
            _tell(ctx, summary)
            return
    if ctx.ensure_object(State).json and target != "-":
        print_json({"files": 1})


def _tell(ctx: click.Context, summary: TransferSummary) -> None:
    if ctx.ensure_object(State).json:
        print_json(summary)
        return
    for skipped in summary.skipped:
        click.echo(f"left out {skipped.path!r}: {skipped.reason}", err=True)
    if more := summary.skipped_total - len(summary.skipped):
        click.echo(f"left out {more} more", err=True)


def _print(sandbox: Sandbox, source: str, user: str | None) -> None:
    for piece in sandbox.files.read_stream(source, user=user):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _upload(sandbox: Sandbox, source: str, target: str, options: dict[str, Any]) -> TransferSummary:
    local = Path(source)
    if _is_inside(target) or (not local.is_dir() and _is_dir(sandbox, target)):
        target = str(PurePosixPath(target) / local.resolve().name)
    return sandbox.files.upload(local, target, **options)


def _download(
    sandbox: Sandbox, source: str, target: str, options: dict[str, Any]
) -> TransferSummary:
    local = Path(target)
    if _is_inside(target):
        local /= sandbox.files.stat(source, user=options["user"]).name.strip("/")
    return sandbox.files.download(source, local, **options)


def _is_inside(target: str) -> bool:
    """Whether the copy goes into the target, be it there yet or not."""
    return target.endswith("/") or target.split("/")[-1] in (".", "..")


def _is_dir(sandbox: Sandbox, path: str) -> bool:
    try:
        return sandbox.files.stat(path).is_dir
    except PathNotFoundError:
        return False
