"""From what the user wrote to what a provider is asked: profiles, addresses, templates."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from .config import AUTO, Config, ResolvedProfile, load_config
from .errors import ConfigError, InvalidRequestError
from .models import SnapshotInfo
from .plugins import auto_provider
from .provider import CreateRequest, HostMount
from .spec import SandboxSpec

__all__ = ["UNSET", "Target", "Unset", "create_request", "split_address", "target", "target_for"]


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "<from the profile>"


UNSET = Unset()
"""An argument that was not given: the profile's value holds, or the default."""


@dataclass(frozen=True, slots=True)
class Target:
    """A provider with its settings, as one profile names it.

    Attributes:
        provider: the provider's name.
        profile: its settings and the defaults of `create`; its ``repr`` hides secrets.
        config: where templates are looked up.
    """

    provider: str
    profile: ResolvedProfile
    config: Config


def _target(config: Config, profile: ResolvedProfile) -> Target:
    provider = auto_provider() if profile.provider == AUTO else profile.provider
    return Target(provider, profile, config)


def target(profile: str | None) -> Target:
    """The target that a profile's name means; ``None`` is the default profile.

    Raises:
        ConfigError: there is no such profile, or the configuration is wrong.
        ProviderUnavailableError: ``auto`` found nothing that works here.
    """
    config = load_config()
    return _target(config, config.profile(profile))


def split_address(address: str) -> tuple[str, str]:
    """The provider and the id in an address.

    Raises:
        InvalidRequestError: it is not ``provider:id``.
    """
    provider, colon, identifier = address.partition(":")
    if not (provider and colon and identifier):
        raise InvalidRequestError(
            f"{address!r} is not an address; it has the form provider:id", hint="sandboxkit ps"
        )
    return provider, identifier


def target_for(provider: str, profile: str | None) -> Target:
    """The target by which a provider's sandboxes are reached.

    The named profile; else the default profile if it is this provider's; else the only profile
    that is; else the profile of the provider's own name.

    Raises:
        ConfigError: the named profile is another provider's, or several fit.
    """
    config = load_config()
    if profile is not None:
        named = _target(config, config.profile(profile))
        if named.provider != provider:
            raise ConfigError(
                f"profile {profile!r} is for {named.provider!r}, and the address is {provider!r}'s"
            )
        return named
    default = config.profile(None)
    if default.provider == provider:
        return _target(config, default)
    fitting = [name for name in config.profiles_for(provider) if name != provider]
    if len(fitting) > 1:
        raise ConfigError(
            f"several profiles use {provider!r}: {', '.join(fitting)}; name one with profile=..."
        )
    return _target(config, config.profile(fitting[0] if fitting else provider))


def create_request(target: Target, spec: SandboxSpec, snapshot_id: str | None) -> CreateRequest:
    """What the provider is asked to create.

    Raises:
        TemplateNotFoundError: the template means nothing here.
    """
    options = dict(spec.provider_options)
    template: str | None = None
    if spec.template is not None:
        found = target.config.template(spec.template, target.provider)
        if isinstance(found, Mapping):
            options["template"] = dict(found)
        else:
            template = None if found is None else str(found)
    resources = spec.resources
    return CreateRequest(
        nonce=secrets.token_hex(16),
        template=template,
        image=spec.image,
        snapshot=snapshot_id,
        lifetime=spec.lifetime,
        idle_timeout=spec.idle_timeout,
        on_timeout=spec.on_timeout,
        create_timeout=120.0 if spec.create_timeout is None else spec.create_timeout,
        env=dict(spec.env),
        workdir=spec.workdir,
        user=spec.user,
        labels={} if spec.session is None else {"session": spec.session},
        metadata=dict(spec.metadata),
        cpu=resources.cpu,
        memory=resources.memory,
        disk=resources.disk,
        pids=resources.pids,
        mounts=tuple(
            HostMount(source=one.source, target=one.target, read_only=one.read_only)
            for one in spec.mounts
        ),
        network=spec.network,
        best_effort=spec.best_effort,
        options=options,
    )


def snapshot_address(snapshot: str | SnapshotInfo | object) -> str:
    """The address or name of a snapshot given in any form."""
    if isinstance(snapshot, str):
        return snapshot
    address = getattr(snapshot, "address", None)
    if isinstance(address, str):
        return address
    raise InvalidRequestError(
        f"create: snapshot must be an address, a name or a snapshot, not {snapshot!r}", op="create"
    )
