"""``plan``: what would become of the options of ``create``, without creating anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from .options import create_options, sandbox_arguments
from .output import State, json_option, print_json, print_table

__all__ = ["plan"]


@click.command()
@create_options
@json_option
@click.pass_context
def plan(ctx: click.Context, /, **given: Any) -> int:
    """Say how a provider would serve these options of `create`. Creates nothing.

    Exits with 1 if it lacks something that is asked for.
    """
    from sandboxkit import Sandbox

    arguments = sandbox_arguments(given)
    profile = arguments.pop("profile", None)
    found = Sandbox.plan(profile, **arguments)
    if ctx.ensure_object(State).json:
        print_json(
            {
                "provider": found.provider,
                "supported": not found.unsupported,
                "items": [asdict(item) for item in found.items],
            }
        )
    else:
        click.echo(f"provider {found.provider}")
        print_table(
            ("FIELD", "CAPABILITY", "HOW", "SECURITY"),
            [
                (item.field, item.capability, item.level, "yes" if item.security else "")
                for item in found.items
            ],
        )
    return 1 if found.unsupported else 0
