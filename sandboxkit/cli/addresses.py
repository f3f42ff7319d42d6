"""Which sandbox a command is about, and where to look for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sandboxkit.config import load_config
from sandboxkit.errors import (
    AuthenticationError,
    InvalidRequestError,
    ProviderUnavailableError,
    SandboxNotFoundError,
)
from sandboxkit.plugins import provider_names

if TYPE_CHECKING:
    from sandboxkit import Sandbox
    from sandboxkit.models import SandboxInfo

__all__ = ["find", "list_everywhere", "open_sandbox", "profiles"]


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

    A provider that cannot work here is passed over with a note, unless its profile was named.
    """
    from sandboxkit import Sandbox

    seen = set()
    for name in profiles(profile):
        try:
            found = Sandbox.list(name, session=session)
        except (ProviderUnavailableError, AuthenticationError) as error:
            if profile is not None:
                raise
            click.echo(f"passed over {name}: {error.message}", err=True)
            continue
        for info in found:
            if info.address not in seen:
                seen.add(info.address)
                yield name, info


def find(text: str, profile: str | None = None) -> tuple[str, SandboxInfo]:
    """The one sandbox whose address or id begins with `text`, and its profile.

    Raises:
        SandboxNotFoundError: there is none.
        InvalidRequestError: there are several.
    """
    found = [
        (name, info)
        for name, info in list_everywhere(profile)
        if info.address.startswith(text) or info.id.startswith(text)
    ]
    exact = [pair for pair in found if text in (pair[1].address, pair[1].id)]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise SandboxNotFoundError(f"there is no sandbox {text!r}", hint="sandboxkit ps")
    several = ", ".join(info.address for _, info in found)
    raise InvalidRequestError(f"{text!r} is the beginning of several sandboxes: {several}")


def open_sandbox(text: str, profile: str | None = None, *, resume: bool = True) -> Sandbox:
    """Connect to the sandbox that `text` names; closing it leaves it alive.

    Raises:
        SandboxNotFoundError: there is none.
        InvalidRequestError: `text` is the beginning of several addresses.
    """
    from sandboxkit import Sandbox

    if text.partition(":")[2]:
        try:
            return Sandbox.connect(text, profile=profile, resume=resume)
        except SandboxNotFoundError:
            pass  # it may be the beginning of an address
    name, info = find(text, profile)
    return Sandbox.connect(info.address, profile=name, resume=resume)
