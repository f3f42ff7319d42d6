"""``conformance``."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from sandboxkit.errors import ConfigError

from .output import State, json_option, print_json

__all__ = ["conformance"]

PLUGIN = "sandboxkit.conformance.plugin"
SUITE = "sandboxkit.conformance.suite"


@click.command()
@click.argument("profile", nargs=-1, required=True)
@click.option(
    "--report", metavar="FILE", multiple=True,
    help="Write a report, by its ending: .json or .html. {profile} in it is the profile's name.",
)  # fmt: skip
@click.option("--only", metavar="TOPIC", multiple=True, help="Only this topic of the contract.")
@click.option(
    "--known-failures", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="Tests that are known to fail, a line each: test_name  # reason",
)  # fmt: skip
@click.option("-k", "expression", metavar="EXPRESSION", help="Only tests whose names match.")
@click.option("-x", "--exitfirst", is_flag=True, help="Stop at the first failure.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each test.")
@json_option
@click.pass_context
def conformance(
    ctx: click.Context,
    profile: tuple[str, ...],
    report: tuple[str, ...],
    only: tuple[str, ...],
    known_failures: str | None,
    expression: str | None,
    exitfirst: bool,
    verbose: bool,
) -> int:
    """Hold a provider to the contract, and say what it proves.

    Exits with 0 only if every test passed, or failed as its author knows. Nothing is skipped, and
    nothing is tried twice.
    """
    missing = [name for name in ("pytest", "pytest_timeout", "hypothesis") if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"the conformance suite needs {', '.join(missing)}",
            hint="pip install 'sandboxkit-py[conformance]'  "
            "(in a checkout: pip install -e '.[conformance]')",
        )
    import pytest

    settings = Path(__file__).parents[1] / "conformance" / "pytest.ini"
    arguments = ["-c", str(settings), "--rootdir", str(settings.parent), "-p", "no:cacheprovider"]
    arguments += ["-p", PLUGIN, "--pyargs", SUITE]
    for name in profile:
        arguments += ["--sandbox-profile", name]
    for topic in only:
        arguments += ["--only", topic]
    for name in report:
        arguments += ["--report", name]
    if known_failures:
        arguments += ["--known-failures", str(Path(known_failures).absolute())]
    if expression:
        arguments += ["-k", expression]
    arguments += ["-x"] * exitfirst + (["-v"] if verbose else ["-q"])
    if not ctx.ensure_object(State).json:
        return int(pytest.main(arguments))
    with tempfile.TemporaryDirectory() as folder:
        arguments += ["--report", f"{folder}/{{profile}}.json"]
        with contextlib.redirect_stdout(sys.stderr):
            status = int(pytest.main(arguments))
        print_json([json.loads(path.read_text()) for path in sorted(Path(folder).iterdir())])
    return status
