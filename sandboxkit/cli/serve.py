"""``serve``: a vendor's wire in front of a provider, for the vendor's own SDKs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sandboxkit.errors import UnsupportedError
from sandboxkit.gateway import WIRES
from sandboxkit.units import parse_size

from .options import profile_option
from .output import State, json_option, print_json

if TYPE_CHECKING:
    from sandboxkit.gateway.settings import Settings
    from sandboxkit.gateway.wire import Wire

__all__ = ["serve"]

EXTRA = {
    "httptools",
    "starlette",
    "uvicorn",
    "multipart",
    "python_multipart",
    "websockets",
    "wsproto",
}


@click.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--wire",
    type=click.Choice(WIRES),
    default=WIRES[0],
    show_default=True,
    help="Whose protocol.",
)
@profile_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8099, show_default=True, help="0 is any."
)
@click.option(
    "--fidelity",
    type=click.Choice(["contract", "vendor"]),
    default="contract",
    show_default=True,
    help="Keep sandboxkit's promises, or be as weak as the vendor's own service.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where sandboxes are remembered, so that another server finds them.",
)
@click.option(
    "--keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The tenants' API keys, hashed; without it one is made.",
)
@click.option("--domain", metavar="NAME", help="What sandboxes' host names end in.")
@click.option(
    "--max-upload",
    metavar="SIZE",
    default="8GiB",
    show_default=True,
    help="What one upload may have, unpacked.",
)
@click.option("--make-key", is_flag=True, help="Print a new key and its hash, and serve nothing.")
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@json_option
def serve(
    *,
    wire: str,
    profile: str | None,
    host: str,
    port: int,
    fidelity: Literal["contract", "vendor"],
    state: Path | None,
    keys: Path | None,
    domain: str | None,
    max_upload: str,
    make_key: bool,
    program: tuple[str, ...],
) -> int:
    """Serve sandboxes to a vendor's own SDKs, until Ctrl-C or PROGRAM's end.

    It prints the environment variables that lead the SDKs here. With -- PROGRAM it starts that
    with them set, and ends with it.
    """
    try:
        from sandboxkit.gateway import keys as key_ring
        from sandboxkit.gateway.serving import run_gateway
        from sandboxkit.gateway.settings import Settings
        from sandboxkit.gateway.wire import wire_named

        spoken = wire_named(wire)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise UnsupportedError(
            f"serving needs {error.name}, which is not installed here",
            hint="pip install 'sandboxkit-py[gateway]'  "
            "(in a checkout: pip install -e '.[gateway]')",
        ) from error
    as_json = click.get_current_context().ensure_object(State).json
    if make_key:
        made = key_ring.make_key()
        if as_json:
            print_json({"key": made, "hash": key_ring.hash_key(made)})
        else:
            click.echo(f"key  {made}\nhash {key_ring.hash_key(made)}")
        return 0
    secret = None
    if keys is None:
        secret = os.environ.get(spoken.key_variable) or key_ring.make_key()
        ring = key_ring.KeyRing({key_ring.hash_key(secret): key_ring.Tenant("default")})
    else:
        ring = key_ring.read_keys(keys)
    settings = Settings(
        keys=ring,
        profile=profile,
        fidelity=fidelity,
        state=state,
        domain=domain or "",
        max_upload=parse_size(max_upload),
    )
    return run_gateway(
        spoken, settings, host, port, secret, program, announce=partial(_announce, as_json, spoken)
    )


def _announce(
    as_json: bool, wire: Wire, settings: Settings, url: str, variables: Mapping[str, str]
) -> None:
    if as_json:
        print_json({"url": url, "fidelity": settings.fidelity, "env": dict(variables)})
        return
    click.echo(
        f"serving {wire.vendor}'s wire at {url} ({settings.fidelity}); Ctrl-C ends it", err=True
    )
    click.echo(f"# for {wire.clients}", err=True)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
