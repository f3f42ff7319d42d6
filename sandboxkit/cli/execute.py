"""``run`` in a fresh sandbox, ``exec`` in one that is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from .addresses import open_sandbox
from .options import create_options, duration, environment, profile_option, sandbox_arguments
from .output import State, json_option, output_fields, print_json, waiting
from .streaming import command_of, run_streaming

if TYPE_CHECKING:
    from sandboxkit import Sandbox

__all__ = ["execute", "run"]

_timeout = click.option(
    "--timeout", type=duration, metavar="TIME", help="End the command after this long."
)
_stdin = click.option("-i", "--stdin", is_flag=True, help="Let it read this command's input.")


class _Remainder(click.Command):
    """A command whose last argument is everything after ``--`` or after the first word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        count = len(ctx.params["command"])
        ctx.meta["explicit"] = given[-count - 1 : -count] == ["--"]
        return rest


_REST = {"allow_interspersed_args": False}


@click.command(cls=_Remainder, context_settings=_REST)
@create_options
@_timeout
@_stdin
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, /, command: tuple[str, ...], **given: Any) -> int:
    """Run a command in a fresh sandbox, which ends with it.

    Either `sandboxkit run -- CMD ARG...`, one argument being text for the sandbox's shell, or
    `sandboxkit run FILE.py ARG...` with a Python program from here. Exits as the command does;
    with 124 if --timeout ended it.
    """
    from sandboxkit import Sandbox

    timeout, stdin = given.pop("timeout"), given.pop("stdin")
    arguments = sandbox_arguments(given)
    profile = arguments.pop("profile", None)
    program = None if ctx.meta["explicit"] else _program(command[0])
    wanted: str | list[str] = command_of(command)
    if program is not None:
        # Next to nothing else, so that its own name cannot hide a module from it.
        inside = str(PurePosixPath("/tmp/sandboxkit-run") / program.name)
        arguments["files"] = {inside: program}
        # Unbuffered: its output comes as it prints it, and a timeout loses none of it.
        wanted = ["python3", "-u", inside, *command[1:]]
    with waiting("creating a sandbox"):
        sandbox = Sandbox.create(profile, **arguments)
    with sandbox:
        return _run(ctx, sandbox, wanted, timeout=timeout, stdin=stdin)


@click.command("exec", context_settings=_REST)
@profile_option
@click.option("-e", "--env", metavar="NAME[=VALUE]", multiple=True, help="Set a variable.")
@click.option("-u", "--user", metavar="USER", help="Who runs it.")
@click.option("-w", "--cwd", metavar="DIR", help="Where it starts.")
@_timeout
@_stdin
@json_option
@click.argument("address")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def execute(
    ctx: click.Context,
    /,
    address: str,
    command: tuple[str, ...],
    profile: str | None,
    **options: Any,
) -> int:
    """Run a command in a sandbox that is there, which lives on.

    Exits as the command does; with 124 if --timeout ended it.
    """
    options["env"] = environment(options["env"])
    words = command[1:] if command[0] == "--" else command
    with open_sandbox(address, profile) as sandbox:
        return _run(ctx, sandbox, command_of(words), **options)


def _program(word: str) -> Path | None:
    path = Path(word)
    if path.suffix != ".py":
        return None
    if path.is_file():
        return path
    if len(word.split()) == 1:
        raise click.UsageError(f"there is no file {word} here; one in the sandbox goes after --")
    return None  # text for the shell that happens to end like that


def _run(ctx: click.Context, sandbox: Sandbox, command: str | Sequence[str], **options: Any) -> int:
    given = {name: value for name, value in options.items() if value}
    if not ctx.ensure_object(State).json:
        return run_streaming(sandbox, command, **given)
    if given.pop("stdin", False):
        given["stdin"] = sys.stdin.buffer
    result = sandbox.run(command, **given)
    print_json(
        {
            "exit_code": result.exit_code,
            "signal": result.signal,
            "oom": result.oom,
            **output_fields(result),
        }
    )
    return result.exit_code
