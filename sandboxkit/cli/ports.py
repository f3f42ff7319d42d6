"""``port-forward``: a sandbox's ports on this machine, for as long as the command runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import click

from sandboxkit.errors import ExecLostError, SandboxNotFoundError

from .addresses import open_sandbox
from .options import profile_option
from .output import State, json_option, print_json, waiting

if TYPE_CHECKING:
    from sandboxkit import Sandbox

__all__ = ["port_forward"]

ENDLESS = ("sleep", "2147483647")
"""Nothing tells a client that a sandbox has ended but the end of a command in it."""


class Pair(NamedTuple):
    """A port of this machine, 0 for any that is free, and the sandbox's."""

    local: int
    remote: int


def _pair(text: str) -> Pair:
    local, colon, remote = text.rpartition(":")
    if colon and not local:
        return Pair(0, _number(remote, text))
    remote_port = _number(remote, text)
    return Pair(_number(local, text) if colon else remote_port, remote_port)


def _number(text: str, whole: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= 65535:
        return int(text)
    raise click.BadParameter(f"{whole!r}: write REMOTE, LOCAL:REMOTE, or :REMOTE for any free port")


@click.command("port-forward")
@profile_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--url", "as_url", is_flag=True, help="Print URLs with a token instead, for HTTP.")
@json_option
@click.argument("address")
@click.argument("ports", nargs=-1, required=True, type=_pair, metavar="[LOCAL:]REMOTE...")
@click.pass_context
def port_forward(
    ctx: click.Context,
    /,
    profile: str | None,
    host: str,
    as_url: bool,
    address: str,
    ports: tuple[Pair, ...],
) -> int:
    """Reach ports of a sandbox from this machine, until Ctrl-C or the sandbox's end.

    Connections to LOCAL go to REMOTE inside, which needs no network there. Any program of this
    machine may connect; with --url only who has the token that is in the URL.
    """
    if as_url and (host != "127.0.0.1" or any(pair.local != pair.remote for pair in ports)):
        raise click.UsageError("--url chooses where it listens: write REMOTE ports alone")
    with open_sandbox(address, profile) as sandbox, ExitStack() as stack:
        told = []
        for pair in ports:
            if as_url:
                with waiting(f"waiting for port {pair.remote}"):
                    where = str(sandbox.url(pair.remote))
            else:
                made = sandbox.forward(pair.remote, local_port=pair.local, host=host)
                forward = stack.enter_context(made)
                where = f"{forward.host}:{forward.port}"
            told.append({"here": where, "remote": pair.remote})
        if ctx.ensure_object(State).json:
            print_json(told)
        else:
            for one in told:
                click.echo(f"{one['here']} -> {one['remote']}")
        return _until_the_end(sandbox)


def _until_the_end(sandbox: Sandbox) -> int:
    try:
        sandbox.run(ENDLESS)
    except (ExecLostError, SandboxNotFoundError) as lost:
        click.echo(f"{sandbox.address} has ended: {lost.cause or 'nobody knows why'}", err=True)
        return 1
    click.echo("the command that shows the sandbox's end was killed in it", err=True)
    return 1
