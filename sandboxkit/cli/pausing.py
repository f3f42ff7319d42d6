"""``pause`` and ``resume``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .addresses import check_address, open_sandbox
from .options import lifetime, profile_option
from .output import State, json_option, print_json, waiting

if TYPE_CHECKING:
    from sandboxkit import Sandbox, SandboxInfo

__all__ = ["pause", "resume"]


@click.command()
@profile_option
@click.argument("address", nargs=-1, required=True)
@click.option(
    "--lifetime",
    "ends",
    type=lifetime,
    metavar="TIME",
    help="When it ends unless it is resumed: 10m, 2h, never.  [default: 24h, where it can]",
)
@json_option
@click.pass_context
def pause(
    ctx: click.Context, profile: str | None, address: tuple[str, ...], ends: float | str | None
) -> None:
    """Let sandboxes stand still, using no cpu, until they are resumed."""
    given = {} if ends is None else {"lifetime": None if isinstance(ends, str) else ends}
    _each(ctx, profile, address, "pausing", lambda sandbox: sandbox.pause(**given))


@click.command()
@profile_option
@click.argument("address", nargs=-1, required=True)
@json_option
@click.pass_context
def resume(ctx: click.Context, profile: str | None, address: tuple[str, ...]) -> None:
    """Let paused sandboxes go on where they were."""
    _each(ctx, profile, address, "resuming", lambda sandbox: sandbox.resume())


def _each(
    ctx: click.Context,
    profile: str | None,
    addresses: tuple[str, ...],
    what: str,
    do: Callable[[Sandbox], SandboxInfo],
) -> None:
    as_json = ctx.ensure_object(State).json
    for text in addresses:
        check_address(text)
    done = []
    with waiting(what):
        for text in addresses:
            sandbox = open_sandbox(text, profile, resume=False)
            try:
                info = do(sandbox)
            finally:
                sandbox.close()
            done.append({"address": info.address, "state": info.state})
            if not as_json:
                click.echo(info.address)
    if as_json:
        print_json({"sandboxes": done})
