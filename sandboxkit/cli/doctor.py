"""``providers`` and ``doctor``: what is installed, and whether it works here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from sandboxkit.config import AUTO, load_config
from sandboxkit.errors import ConfigError, SandboxError
from sandboxkit.plugins import (
    DEFAULT_PROVIDERS,
    Check,
    ProviderInfo,
    all_providers,
    auto_provider,
    load_provider,
    provider_info,
    provider_names,
)

from .diagnosis import answering
from .output import State, json_option, print_json, print_table, waiting

__all__ = ["doctor", "providers"]


@click.command()
@json_option
@click.pass_context
def providers(ctx: click.Context) -> None:
    """List the installed providers: how they isolate, and what they do natively."""
    found = all_providers()
    if ctx.ensure_object(State).json:
        print_json([_described(name, info) for name, info in found.items()])
        return
    rows: list[tuple[str, ...]] = []
    for name, info in found.items():
        if isinstance(info, ProviderInfo):
            rows.append((name, info.capabilities.isolation, info.summary, _native(info)))
        else:
            rows.append((name, "-", f"broken: {info.message}", ""))
    print_table(("NAME", "ISOLATION", "WHAT IT IS", "NATIVE"), rows)


def _native(info: ProviderInfo) -> str:
    keeps = info.capabilities.pause_keeps
    native = sorted(flag for flag, has in info.capabilities.flags().items() if has)
    return ", ".join(f"pause ({keeps})" if flag == "pause" else flag for flag in native)


def _described(name: str, info: ProviderInfo | SandboxError) -> dict[str, Any]:
    if isinstance(info, ProviderInfo):
        return {"name": name, "summary": info.summary, "capabilities": asdict(info.capabilities)}
    return {"name": name, "error": info.message, "hint": info.hint}


@click.command()
@click.argument("name", metavar="[PROFILE]", required=False)
@json_option
@click.pass_context
def doctor(ctx: click.Context, name: str | None) -> int:
    """Say what works here, what does not, and the command that mends it.

    With a profile or provider, exits 1 if that does not work; without, if the configuration is
    wrong or no provider that runs commands works. Where a profile says something to its provider
    alone, it is tried out by a look at its sandboxes.
    """
    with waiting("looking"):
        if name is None:
            reports = {"configuration": _configuration(), **dict(_everything())}
        else:
            reports = {name: _named(name)}
    if ctx.ensure_object(State).json:
        print_json({part: [asdict(check) for check in checks] for part, checks in reports.items()})
    else:
        for part, checks in reports.items():
            _print(part, checks)
    return 0 if _healthy(name, reports) else 1


def _everything() -> Iterator[tuple[str, Sequence[Check]]]:
    for name, info in all_providers().items():
        if isinstance(info, ProviderInfo):
            yield name, _checks(info)
        else:
            yield name, [Check("plugin", False, info.message, info.hint or "")]


def _named(name: str) -> Sequence[Check]:
    try:
        profile = load_config().profile(name)
    except ConfigError as error:
        if name not in provider_names():
            raise
        told = Check("configuration", False, error.message, error.hint or "")
        return [told, *_checks(provider_info(name))]
    info = provider_info(auto_provider() if profile.provider == AUTO else profile.provider)
    if not profile.has_settings:
        return _checks(info)
    # What a provider looks at by itself holds for the environment's key, not for the profile's;
    # but what this system's own kernel does is the same for all profiles.
    own = _checks(info) if info.capabilities.isolation == "namespaces" else []
    return [*own, answering(name)]


def _checks(info: ProviderInfo) -> Sequence[Check]:
    found = [Check("installed", True, "needs nothing else")]
    if info.doctor is not None:
        found = list(info.doctor())
    found += _loading(info.name, found)
    if info.trial is not None and all(check.ok for check in found):
        found += info.trial()
    return found


def _loading(name: str, found: Sequence[Check]) -> list[Check]:
    """That it cannot be loaded, if it cannot be; nothing where something is known to be amiss."""
    if not all(check.ok for check in found):
        return []
    try:
        load_provider(name)
    except SandboxError as error:
        return [Check("loading", False, error.message, error.hint or "")]
    return []


def _configuration() -> Sequence[Check]:
    wrong = []
    try:
        config = load_config()
        wrong = [Check("wrong", False, problem) for problem in config.problems()]
        profile = config.profile()
    except ConfigError as error:
        known = {check.detail for check in wrong}
        own = Check("configuration", False, error.message, error.hint or "")
        return wrong if error.message in known else [*wrong, own]
    files = ", ".join(str(file.path) for file in config.files) or "none"
    uses = f"default profile {profile.name!r}, provider {profile.provider!r}"
    return [Check("files", True, files), Check("default", True, uses), *wrong]


def _healthy(name: str | None, reports: dict[str, Sequence[Check]]) -> bool:
    well = {part for part, checks in reports.items() if all(check.ok for check in checks)}
    if name is not None:
        return name in well
    real = {
        part
        for part in well - {"configuration"}
        if provider_info(part).capabilities.isolation != "none"
    }
    return "configuration" in well and bool(real)


def _print(part: str, checks: Sequence[Check]) -> None:
    well = all(check.ok for check in checks)
    known = DEFAULT_PROVIDERS.get(part)
    click.secho(f"{part}: {'works' if well else 'does not work'}", bold=True)
    for check in checks:
        mark = click.style("ok", fg="green") if check.ok else click.style("no", fg="red")
        click.echo(f"  {mark}  {check.name}: {check.detail}")
        if check.fix and not check.ok:
            click.echo(f"      try: {check.fix}")
    if known is not None and known.auto and not well:
        click.echo("      until then 'auto' passes it over")
