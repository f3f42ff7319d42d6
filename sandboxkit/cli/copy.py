"""``cp``: files and directories into a sandbox and out of one."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import click

from sandboxkit.errors import InvalidRequestError, PathNotFoundError

from .addresses import open_sandbox
from .options import profile_option
from .output import State, json_option, print_json, waiting

if TYPE_CHECKING:
    from sandboxkit import Sandbox

__all__ = ["cp"]

_INSIDE = re.compile(r"(?P<address>[a-z][\w-]*:[^:/]+|[^:/.][^:/]*):(?P<path>.*)", re.DOTALL)

DEPTH = 1000
"""Levels of directories that are copied."""


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
@json_option
@click.pass_context
def cp(ctx: click.Context, profile: str | None, source: str, target: str) -> None:
    """Copy a file or directory: one of SRC and DST is ADDRESS:PATH, the other is here.

    `-` is this command's own input or output. A directory that is there gets the copy inside it.
    Symbolic links and special files in a directory are left out.
    """
    origin, end = _place(source), _place(target)
    if bool(origin.address) == bool(end.address):
        raise click.UsageError("one of SRC and DST must be ADDRESS:PATH, the other a local path")
    with open_sandbox(origin.address or end.address, profile) as sandbox, waiting("copying"):
        if origin.address:
            count = _download(sandbox, origin.path, end.path)
        else:
            count = _upload(sandbox, origin.path, end.path)
    if ctx.ensure_object(State).json:
        print_json({"files": count})


def _upload(sandbox: Sandbox, source: str, target: str) -> int:
    if source == "-":
        sandbox.files.write(target, sys.stdin.buffer)
        return 1
    local = Path(source)
    if target.endswith("/") or _is_dir(sandbox, target):
        target = str(PurePosixPath(target) / local.resolve().name)
    if not local.is_dir():
        sandbox.files.upload(local, target)
        return 1
    sandbox.files.mkdir(target)
    count = 0
    for path in sorted(local.rglob("*")):
        inside = str(PurePosixPath(target) / path.relative_to(local).as_posix())
        if path.is_symlink():
            continue
        if path.is_dir():
            sandbox.files.mkdir(inside)
        elif path.is_file():
            sandbox.files.upload(path, inside)
            count += 1
    return count


def _is_dir(sandbox: Sandbox, path: str) -> bool:
    try:
        return sandbox.files.stat(path).is_dir
    except PathNotFoundError:
        return False


def _download(sandbox: Sandbox, source: str, target: str) -> int:
    if target == "-":
        for piece in sandbox.files.read_stream(source):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return 1
    info = sandbox.files.stat(source)
    local = Path(target)
    if target.endswith("/"):
        local.mkdir(parents=True, exist_ok=True)
    if local.is_dir():
        local = local / info.name
    if not info.is_dir:
        sandbox.files.download(source, local)
        return 1
    local.mkdir(parents=True, exist_ok=True)
    count = 0
    for inside in sandbox.files.list(source, depth=DEPTH):
        path = local / _relative(inside.path, info.path)
        if inside.is_dir:
            path.mkdir(parents=True, exist_ok=True)
        elif inside.type == "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            sandbox.files.download(inside.path, path)
            count += 1
    return count


def _relative(path: str, folder: str) -> PurePosixPath:
    # The names come from inside the sandbox, and must not lead out of the target.
    inside = PurePosixPath(path)
    base = PurePosixPath(folder)
    if not inside.is_relative_to(base) or ".." in inside.parts:
        raise InvalidRequestError(f"the sandbox lists {path!r} as being in {folder!r}")
    return inside.relative_to(base)
