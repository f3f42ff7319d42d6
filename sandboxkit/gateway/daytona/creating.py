"""What a client asks to create, in words of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...config import Config
from ...config.schema import DEFAULT_TEMPLATES
from ..refusal import Refusal
from .faults import fault
from .fields import flag, number, pairs, text

__all__ = ["AUTO_STOP", "Wanted", "network_of", "resources_of", "template_of", "wanted_of"]

AUTO_STOP = 15
"""Minutes without use after which a sandbox is stopped whose maker does not say."""

BUILT_IN = frozenset({"daytona-small", "daytona-medium", "daytona-large"})
"""Snapshots of Daytona's that mean our default template, unless the configuration has them."""

REFUSED = {
    "gpu": "GPUs are not served by this gateway",
    "kvm": "KVM is not served by this gateway",
    "spot": "spot sandboxes are not served by this gateway",
    "volumes": "volumes are not served by this gateway",
    "secrets": "secrets are not served by this gateway",
    "linkedSandbox": "linked sandboxes are not served by this gateway",
    "outboundProxyUrl": "outbound proxies are not served by this gateway",
    "otelEndpointOverride": "collectors are not served by this gateway",
}
_FROM = re.compile(r"\s*FROM\s+(\S+)\s*", re.IGNORECASE)
MOST_NETWORKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A sandbox to be.

    Attributes:
        name: as its maker calls it; empty is its id.
        snapshot: what to start from, as its maker names it.
        image: a container image to start from instead.
        labels: to find it by.
        env: set for every command.
        user: who commands run as; ``None`` is the template's.
        network: for `create`; ``None`` is as the profile has it.
        options: what is kept of it, to be told again and to start it again.
    """

    name: str
    snapshot: str | None
    image: str | None
    labels: dict[str, str]
    env: dict[str, str]
    user: str | None
    network: str | list[str] | None
    options: dict[str, Any] = field(default_factory=dict)


def wanted_of(body: Mapping[str, Any]) -> Wanted:
    """Read the body of a creation.

    Raises:
        Refusal: something in it is wrong, or not served.
    """
    for refused, why in REFUSED.items():
        if body.get(refused):
            raise fault(501, why)
    network = network_of(body)
    user = text(body, "user")
    env = pairs(body, "env")
    name = text(body, "name") or ""
    options = {
        "name": name,
        "env": env,
        "user": user,
        "shown_user": user,
        "network": network,
        "block": network == "none",
        "networks": text(body, "networkAllowList"),
        "domains": text(body, "domainAllowList"),
        "public": flag(body, "public"),
        "target": text(body, "target"),
        "cpu": number(body, "cpu"),
        "memory": number(body, "memory"),
        "disk": number(body, "disk"),
        **_intervals(body),
    }
    return Wanted(
        name=name,
        snapshot=text(body, "snapshot"),
        image=_image(body),
        labels=pairs(body, "labels"),
        env=env,
        user=user,
        network=network,
        options=options,
    )


def _intervals(body: Mapping[str, Any]) -> dict[str, int]:
    stop, pause = number(body, "autoStopInterval"), number(body, "autoPauseInterval")
    if stop and pause:
        raise fault(400, "autoStopInterval and autoPauseInterval are mutually exclusive")
    if stop is None:
        stop = 0 if pause else AUTO_STOP
    delete = body.get("autoDeleteInterval")
    if delete is not None and (isinstance(delete, bool) or not isinstance(delete, int)):
        raise fault(400, "autoDeleteInterval is not a number", "INVALID_REQUEST_BODY")
    archive = number(body, "autoArchiveInterval")
    return {
        "auto_stop": stop,
        "auto_pause": pause or 0,
        "auto_archive": 10080 if archive is None else archive,
        "auto_delete": -1 if delete is None else delete,
        "ttl": number(body, "ttlMinutes") or 0,
    }


def _image(body: Mapping[str, Any]) -> str | None:
    build = body.get("buildInfo")
    if not build:
        return None
    if not isinstance(build, dict):
        raise fault(400, "buildInfo is not an object", "INVALID_REQUEST_BODY")
    found = _FROM.fullmatch(text(build, "dockerfileContent") or "")
    if found is None or build.get("contextHashes"):
        raise fault(501, "images are not built by this gateway: name one that is there")
    return found[1]


def resources_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The limits to create with, from what is kept of a sandbox."""
    found: dict[str, Any] = {}
    if options.get("cpu"):
        found["cpu"] = options["cpu"]
    for name in ("memory", "disk"):
        if options.get(name):
            found[name] = f"{options[name]}GiB"
    return found


def network_of(body: Mapping[str, Any]) -> str | list[str] | None:
    """The network that a body asks for; ``None`` where it does not say.

    Raises:
        Refusal: it is malformed.
    """
    block = body.get("networkBlockAll")
    if flag(body, "networkBlockAll"):
        return "none"
    networks = _listed(text(body, "networkAllowList"))
    if len(networks) > MOST_NETWORKS:
        raise fault(400, f"networkAllowList has more than {MOST_NETWORKS} networks")
    allowed = [*networks, *_listed(text(body, "domainAllowList"))]
    if allowed:
        return allowed
    return None if block is None else "full"


def _listed(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def template_of(name: str | None, config: Config) -> str | None:
    """The logical template that a client's name means; ``None`` is the profile's.

    Raises:
        Refusal: it means nothing here.
    """
    if name is None:
        return None
    for logical in config.template_names():
        if name == logical or name in config.template_fields(logical).get("aliases", ()):
            return logical
    if name in BUILT_IN or name in DEFAULT_TEMPLATES:
        return None
    raise unknown(name)


def unknown(name: str) -> Refusal:
    """That there is no such snapshot."""
    return fault(404, f"Snapshot {name[:100]} not found")
