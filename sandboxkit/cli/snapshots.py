"""``snapshot create``, ``ls`` and ``rm``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sandboxkit.errors import InvalidRequestError, SandboxError, SnapshotNotFoundError
from sandboxkit.units import format_size

from .addresses import check_address, choose, open_sandbox, profiles
from .options import profile_option
from .output import State, age, json_option, print_json, print_table, waiting

if TYPE_CHECKING:
    from sandboxkit import Snapshot

__all__ = ["snapshot"]


@click.group()
def snapshot() -> None:
    """Save a sandbox's files to create others from."""


@snapshot.command()
@profile_option
@click.argument("address")
@click.option("--name", metavar="NAME", help="A name of its own; unique among yours.")
@json_option
@click.pass_context
def create(ctx: click.Context, profile: str | None, address: str, name: str | None) -> None:
    """Take a snapshot of a sandbox, which goes on, and print the snapshot's address."""
    with open_sandbox(address, profile) as sandbox, waiting("taking a snapshot"):
        taken = sandbox.snapshot(name)
    if ctx.ensure_object(State).json:
        print_json({"address": taken.address, "name": name})
    else:
        click.echo(taken.address)


@snapshot.command("ls")
@profile_option
@json_option
@click.pass_context
def list_(ctx: click.Context, profile: str | None) -> None:
    """List your snapshots, over all installed providers."""
    with waiting("listing snapshots"):
        infos = [found.info for found in _everywhere(profile)]
    if ctx.ensure_object(State).json:
        print_json([{"address": info.address, **asdict(info)} for info in infos])
        return
    print_table(
        ("ADDRESS", "NAME", "KIND", "SIZE", "AGE", "ENDS IN"),
        [
            (
                info.address,
                info.name or "",
                info.kind,
                "-" if info.size is None else format_size(info.size),
                age(info.created_at),
                age(info.expires_at),
            )
            for info in infos
        ],
    )


@snapshot.command()
@profile_option
@click.argument("address", nargs=-1, required=True)
@json_option
@click.pass_context
def rm(ctx: click.Context, profile: str | None, address: tuple[str, ...]) -> None:
    """Delete snapshots, named by address, by a unique beginning of it, or by name."""
    for text in address:
        check_address(text)
    snapshots = list(_everywhere(profile))
    chosen = [_find(text, snapshots) for text in address]
    for found in chosen:
        found.delete()
        if not ctx.ensure_object(State).json:
            click.echo(found.address)
    if ctx.ensure_object(State).json:
        print_json({"deleted": [found.address for found in chosen]})


def _everywhere(profile: str | None) -> Iterator[Snapshot]:
    from sandboxkit import Sandbox

    seen = set()
    for name in profiles(profile):
        try:
            found = Sandbox.snapshots(name)
        except SandboxError:
            if profile is not None:
                raise
            continue  # it cannot work here, or takes none
        for one in found:
            if one.address not in seen:
                seen.add(one.address)
                yield one


def _find(text: str, snapshots: list[Snapshot]) -> Snapshot:
    named = [one for one in snapshots if text and one.name == text]
    if len(named) > 1:
        several = ", ".join(one.address for one in named)
        raise InvalidRequestError(f"several snapshots are called {text!r}: {several}")
    found = named[0] if named else choose(text, snapshots, "snapshots")
    if found is None:
        raise SnapshotNotFoundError(f"there is no snapshot {text!r}", hint="sandboxkit snapshot ls")
    return found
