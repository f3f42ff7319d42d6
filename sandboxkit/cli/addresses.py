"""Which sandbox a command is about, and where to look for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from sandboxkit.config import load_config
from sandboxkit.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    ProviderUnavailableError,
    SandboxNotFoundError,
)
from sandboxkit.plugins import DEFAULT_PROVIDERS, provider_names

if TYPE_CHECKING:
    from sandboxkit import Sandbox
    from sandboxkit.models import SandboxInfo

__all__ = ["check_address", "choose", "find", "list_everywhere", "open_sandbox", "profiles"]

SHORTEST = 3
"""Characters of an id that may stand for all of it."""

_I = TypeVar("_I", bound="_Addressed")


class _Addressed(Protocol):
    @property
    def address(self) -> str: ...

    @property
    def id(self) -> str: ...


def profiles(profile: str | None = None) -> list[str]:
    """The profile that was named, else one for each way to reach an installed provider."""
    if profile is not None:
        return [profile]
    config = load_config()
    return [name for provider in provider_names() for name in config.profiles_for(provider)]


def list_everywhere(
    profile: str | None = None, *, session: str | None = None
) -> Iterator[tuple[str, SandboxInfo]]:
    """Every live sandbox of ours with the profile that reaches it, each once.

    A provider that cannot work here is passed over with a note, unless its profile was named;
    one whose extra is not installed without.
    """
    from sandboxkit import Sandbox

    seen = set()
    for name in profiles(profile):
        try:
            found = Sandbox.list(name, session=session)
        except (ProviderUnavailableError, AuthenticationError, ConfigError) as error:
            if profile is not None:
                raise
            known = DEFAULT_PROVIDERS.get(error.provider or "")
            if known is not None and known.extra and isinstance(error.__cause__, ImportError):
                continue  # an extra that nobody asked for; `doctor` tells of it
            click.echo(f"passed over {name}: {error.message}", err=True)
            continue
        for info in found:
            if info.address not in seen:
                seen.add(info.address)
                yield name, info


def find(text: str, profile: str | None = None) -> tuple[str, SandboxInfo]:
    """The one sandbox whose address or id begins with `text`, and its profile.

    Raises:
        click.UsageError: it cannot name one.
        SandboxNotFoundError: there is none.
        InvalidRequestError: there are several.
    """
    check_address(text)
    pairs = list(list_everywhere(profile))
    found = choose(text, [info for _, info in pairs], "sandboxes")
    if found is None:
        raise SandboxNotFoundError(f"there is no sandbox {text!r}", hint="sandboxkit ps")
    return next(pair for pair in pairs if pair[1] is found)


def check_address(text: str) -> None:
    """Refuse what names nothing.

    Raises:
        click.UsageError: it is empty, or only a provider's name.
    """
    if not text.strip():
        raise click.UsageError("the address is empty; it has the form provider:id")
    if text.endswith(":") and text.count(":") == 1:
        raise click.UsageError(f"{text!r} has no id; an address has the form provider:id")


def choose(text: str, among: Sequence[_I], kind: str) -> _I | None:
    """The one whose address or id is `text`, else the one whose id begins with it.

    Raises:
        click.UsageError: `text` is too short, or only the beginning of a provider's name.
        InvalidRequestError: there are several.
    """
    check_address(text)
    found = [one for one in among if text in (one.address, one.id)]
    if not found:
        provider, colon, beginning = text.rpartition(":")
        if len(beginning) < SHORTEST:
            raise click.UsageError(
                f"{text!r}: write at least {SHORTEST} characters of the id, or all of it"
            )
        found = [
            one
            for one in among
            if one.id.startswith(beginning)
            and (not colon or one.address.startswith(f"{provider}:"))
        ]
    if not found and any(name.startswith(text) for name in provider_names()):
        raise click.UsageError(f"{text!r} only names a provider; write an id, or provider:id")
    if len(found) > 1:
        several = ", ".join(one.address for one in found)
        raise InvalidRequestError(f"{text!r} is the beginning of several {kind}: {several}")
    return found[0] if found else None


def open_sandbox(text: str, profile: str | None = None, *, resume: bool = True) -> Sandbox:
    """Connect to the sandbox that `text` names; closing it leaves it alive.

    Raises:
        SandboxNotFoundError: there is none.
        InvalidRequestError: `text` is the beginning of several addresses.
    """
    from sandboxkit import Sandbox

    check_address(text)
    if text.partition(":")[2]:
        try:
            return Sandbox.connect(text, profile=profile, resume=resume)
        except SandboxNotFoundError:
            pass  # it may be the beginning of an address
    name, info = find(text, profile)
    return Sandbox.connect(info.address, profile=name, resume=resume)
