"""``ps``, ``kill`` and ``reap``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from .addresses import check_address, find, list_everywhere
from .measuring import METRICS, in_words, metrics_of
from .options import profile_option
from .output import State, age, json_option, print_json, print_table, waiting

__all__ = ["kill", "ps", "reap"]

_session = click.option("--session", metavar="NAME", help="Only the sandboxes of this session.")


@click.command()
@profile_option
@_session
@click.option("-q", "--quiet", is_flag=True, help="Print addresses only.")
@click.option("--metrics", "measured", is_flag=True, help="Print what each uses now.")
@json_option
@click.pass_context
def ps(
    ctx: click.Context, profile: str | None, session: str | None, quiet: bool, measured: bool
) -> None:
    """List your live sandboxes, over all installed providers."""
    with waiting("listing sandboxes"):
        found = list_everywhere(profile, session=session)
        if measured:
            used = [(info, metrics_of(name, info.address)) for name, info in found]
            infos = [info for info, _ in used]
        else:
            infos = [info for _, info in found]
    if ctx.ensure_object(State).json:
        records = [{"address": info.address, **asdict(info)} for info in infos]
        if measured:
            for record, (_, use) in zip(records, used, strict=True):
                record["metrics"] = None if use is None else asdict(use)
        print_json(records)
    elif measured:
        print_table(METRICS, [(info.address, info.state, *in_words(use)) for info, use in used])
    elif quiet:
        for info in infos:
            click.echo(info.address)
    else:
        print_table(
            ("ADDRESS", "STATE", "ISOLATION", "TEMPLATE", "AGE", "ENDS IN", "SESSION"),
            [
                (
                    info.address,
                    info.state,
                    info.isolation,
                    info.template,
                    age(info.created_at),
                    age(info.expires_at),
                    info.labels.get("session", ""),
                )
                for info in infos
            ],
        )


@click.command()
@profile_option
@click.argument("address", nargs=-1)
@_session
@click.option("--all", "everything", is_flag=True, help="All your sandboxes.")
@json_option
@click.pass_context
def kill(
    ctx: click.Context,
    profile: str | None,
    address: tuple[str, ...],
    session: str | None,
    everything: bool,
) -> None:
    """Kill sandboxes, and return when they are gone."""
    if sum(map(bool, (address, session, everything))) != 1:
        raise click.UsageError("give one of: addresses, --session NAME, --all")
    killed = []
    with waiting("killing"):
        for name, target in list(_targets(profile, address, session)):
            _kill(name, target)
            killed.append(target)
            if not ctx.ensure_object(State).json:
                click.echo(target)
    if ctx.ensure_object(State).json:
        print_json({"killed": killed})


def _targets(
    profile: str | None, addresses: tuple[str, ...], session: str | None
) -> Iterator[tuple[str, str]]:
    if addresses:
        for text in addresses:
            check_address(text)
        for text in addresses:
            name, info = find(text, profile)
            yield name, info.address
        return
    for name, info in list_everywhere(profile, session=session):
        yield name, info.address


def _kill(profile: str, address: str) -> None:
    from sandboxkit import Sandbox
    from sandboxkit.errors import SandboxNotFoundError

    try:
        sandbox = Sandbox.connect(address, profile=profile, resume=False)
    except SandboxNotFoundError:
        return  # it ended in the meantime
    try:
        sandbox.kill()
    finally:
        sandbox.close()


@click.command()
@profile_option
@click.option("--dry-run/--yes", default=True, help="Only say what would go (default), or do it.")
@json_option
@click.pass_context
def reap(ctx: click.Context, profile: str | None, dry_run: bool) -> None:
    """Remove sandboxes and snapshots of yours that are past their end but still there."""
    import sandboxkit

    with waiting("looking for what is past its end"):
        found = sandboxkit.reap(profile, dry_run=dry_run)
    addresses = [str(getattr(item, "address", item)) for item in found]
    if ctx.ensure_object(State).json:
        print_json({"dry_run": dry_run, "reaped": addresses})
        return
    for text in addresses:
        click.echo(f"{'would remove' if dry_run else 'removed'} {text}")
    if not addresses:
        click.echo("nothing is past its end")
    elif dry_run:
        click.echo("nothing was removed; do it with: sandboxkit reap --yes")
