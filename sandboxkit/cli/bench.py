"""``bench``: hands over to the benchmark suite, which is a package of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from sandboxkit.errors import ConfigError

__all__ = ["bench"]

SUITE = "sandboxkit_bench"


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> int:
    """Measure providers beside others that do the same work, so that figures can be believed."""
    if find_spec(SUITE) is None:
        raise ConfigError(
            "the benchmark suite is not installed",
            hint="pip install -e .  in a checkout of sandboxkit, which has it in benchmarks/",
        )
    return int(import_module(f"{SUITE}.command").main(arguments))
