"""``config show`` and ``config path``."""

from __future__ import annotations

from typing import Any

import click

from sandboxkit.config import ResolvedProfile, load_config
from sandboxkit.config.files import FILE_NAME, find_files, user_file
from sandboxkit.errors import ConfigError

from .output import State, json_option, print_json, print_table

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the configuration and where it comes from."""


@config.command()
@click.argument("profile", required=False)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@json_option
@click.pass_context
def show(ctx: click.Context, profile: str | None, origin: bool) -> int:
    """Show a profile (the default one) as `create` will use it. Secrets are never shown.

    Exits 1 if something is wrong in any profile or template, which it says on standard error.
    """
    loaded = load_config()
    problems = loaded.problems()
    try:
        resolved = loaded.profile(profile)
    except ConfigError as error:
        told = dict.fromkeys([*error.message.split("\n"), *"\n".join(problems).split("\n")])
        raise ConfigError("\n".join(filter(None, told)), hint=error.hint) from None
    named, where = loaded.default_profile_origin
    rows = [("profile", resolved.name, "argument" if profile else where), *_rows(resolved)]
    if ctx.ensure_object(State).json:
        shown = {"profile": resolved.name, **resolved.shown()}
        told = {"origin": {key: came for key, _, came in rows}} if origin else {}
        about = {"default_profile": named, "profiles": loaded.profile_names(), "wrong": problems}
        print_json({**shown, **told, **about})
    elif origin:
        print_table(("KEY", "VALUE", "FROM"), rows)
    else:
        print_table(("KEY", "VALUE"), [row[:2] for row in rows])
    for problem in problems:
        click.echo(f"wrong: {problem}", err=True)
    return 1 if problems else 0


def _rows(resolved: ResolvedProfile) -> list[tuple[str, str, str]]:
    rows = []
    for key, value in resolved.shown().items():
        if isinstance(value, dict) and f"{key}" not in resolved.origin:
            rows += [
                (f"{key}.{inner}", _text(part), resolved.origin.get(f"{key}.{inner}", ""))
                for inner, part in value.items()
            ]
        else:
            rows.append((key, _text(value), resolved.origin.get(key, "")))
    return rows


def _text(value: Any) -> str:
    return "never" if value is None else str(value)


@config.command()
@json_option
@click.pass_context
def path(ctx: click.Context) -> None:
    """Print the files that are read here, the winning one first."""
    files = [str(file) for file in find_files(None)]
    if ctx.ensure_object(State).json:
        print_json({"files": files, "user_file": str(user_file())})
        return
    for file in files:
        click.echo(file)
    if not files:
        click.echo(f"none; write {FILE_NAME} here, or {user_file()}")
