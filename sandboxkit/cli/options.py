"""The options that several commands share, and what they mean to `create`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from sandboxkit.errors import InvalidRequestError
from sandboxkit.units import parse_duration, parse_size

from .output import State

__all__ = [
    "create_options",
    "duration",
    "environment",
    "lifetime",
    "profile_option",
    "sandbox_arguments",
]


def duration(text: str) -> float:
    """A duration as everywhere, and a bare number is seconds; not zero."""
    try:
        value: float | str = float(text)
    except ValueError:
        value = text
    return _checked(parse_duration, value, text)


def lifetime(text: str) -> float | str:
    """A duration, or ``never``."""
    return text if text == "never" else duration(text)


def _size(text: str) -> int:
    return round(_checked(parse_size, text, text))


def _cores(text: str) -> float:
    try:
        cores = float(text)
    except ValueError:
        cores = math.nan
    if not 0 < cores < math.inf:
        raise click.BadParameter(f"{text!r} is not a number of cores")
    return cores


def _checked(parse: Callable[[Any], float], value: float | str, text: str) -> float:
    try:
        found = parse(value)
    except InvalidRequestError as error:
        raise click.BadParameter(error.message.removesuffix("; None is no limit")) from None
    except OverflowError:
        raise click.BadParameter(f"{text} is too much") from None
    if not found:
        raise click.BadParameter(f"{text} is not more than zero")
    return found


_F = TypeVar("_F", bound=Callable[..., Any])


def _note_profile(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    ctx.ensure_object(State).profile = value  # an error's hint may name it
    return value


profile_option = click.option(
    "-p",
    "--profile",
    metavar="NAME",
    callback=_note_profile,
    help="A profile or provider; the default one if not given.",
)

_CREATE = (
    click.option("-t", "--template", metavar="NAME", help="What to start from."),
    click.option("--image", metavar="REF", help="A container image to start from."),
    click.option("--snapshot", metavar="SNAPSHOT", help="A snapshot to start from."),
    click.option(
        "--lifetime", type=lifetime, metavar="TIME", help="How long it may live: 10m, 2h, never."
    ),
    click.option(
        "--idle-timeout", type=duration, metavar="TIME", help="How long it may do nothing."
    ),
    click.option(
        "--on-timeout",
        type=click.Choice(["kill", "pause"]),
        help="What happens at the end of its time; kill by default.",
    ),
    click.option(
        "--create-timeout", type=duration, metavar="TIME", help="By when it must be ready."
    ),
    click.option("--network", metavar="none|full|HOST,...", help="What it may reach."),
    click.option("-e", "--env", metavar="NAME[=VALUE]", multiple=True, help="Set a variable."),
    click.option("-m", "--metadata", metavar="NAME=VALUE", multiple=True, help="Find it by this."),
    click.option("-u", "--user", metavar="USER", help="Who commands run as."),
    click.option("-w", "--workdir", metavar="DIR", help="Where commands start."),
    click.option("--cpu", type=_cores, metavar="CORES", help="Limit, may be a fraction."),
    click.option("--memory", type=_size, metavar="SIZE", help="Limit: 512MiB, 2GiB."),
    click.option("--disk", type=_size, metavar="SIZE", help="Limit on what may be written."),
    click.option(
        "--pids",
        type=click.IntRange(1, 1 << 22),
        metavar="COUNT",
        help="Limit on processes and threads.",
    ),
    click.option(
        "--mount",
        "mounts",
        metavar="SRC:DST[:rw]",
        multiple=True,
        help="Show a directory of this machine inside, read-only unless it ends in :rw.",
    ),
    click.option("--session", metavar="NAME", help="Group it with others."),
    click.option("--best-effort", is_flag=True, help="Go without limits the provider lacks."),
)

_PLAIN = (
    "template",
    "image",
    "snapshot",
    "lifetime",
    "idle_timeout",
    "on_timeout",
    "create_timeout",
    "user",
    "workdir",
    "session",
    "best_effort",
)
_LIMITS = ("cpu", "memory", "disk", "pids")


def create_options(command: _F) -> _F:
    """Give a command the options that say what to create."""
    for option in reversed((profile_option, *_CREATE)):
        command = option(command)
    return command


def sandbox_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options of `create_options` out of `given`, as keywords of ``Sandbox.create``."""
    values = {name: given.pop(name) for name in _PLAIN}
    values["env"] = environment(given.pop("env"))
    values["metadata"] = dict(_pair(text, "--metadata") for text in given.pop("metadata"))
    values["mounts"] = list(given.pop("mounts"))
    values["network"] = _network(given.pop("network"))
    values["resources"] = {
        name: limit for name in _LIMITS if (limit := given.pop(name)) is not None
    }
    values["profile"] = given.pop("profile")
    kept = {name: value for name, value in values.items() if value not in (None, False, {}, [])}
    if kept.get("lifetime") == "never":
        kept["lifetime"] = None
    return kept


def environment(given: Sequence[str]) -> dict[str, str]:
    """Variables written ``NAME=VALUE``, or ``NAME`` to take this process's own."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            if name not in os.environ:
                raise click.UsageError(f"--env {name}: it is not set here; write {name}=VALUE")
            value = os.environ[name]
        found[name] = value
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"{option} {text!r}: write NAME=VALUE")
    return name, value


def _network(text: str | None) -> str | list[str] | None:
    if text in (None, "none", "full"):
        return text
    return [part.strip() for part in str(text).split(",")]
