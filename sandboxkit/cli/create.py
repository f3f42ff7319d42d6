"""``create``: a sandbox that outlives this command."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from .options import create_options, sandbox_arguments
from .output import State, json_option, print_json, waiting

__all__ = ["create"]


@click.command()
@create_options
@json_option
@click.pass_context
def create(ctx: click.Context, /, **given: Any) -> None:
    """Create a sandbox and print its address. It ends with its lifetime or by `kill`."""
    from sandboxkit import Sandbox

    arguments = sandbox_arguments(given)
    profile = arguments.pop("profile", None)
    with waiting("creating a sandbox"):
        sandbox = Sandbox.create(profile, **arguments)
    try:
        if ctx.ensure_object(State).json:
            print_json({"address": sandbox.address, **asdict(sandbox.info())})
        else:
            click.echo(sandbox.address)
    finally:
        sandbox.close()
