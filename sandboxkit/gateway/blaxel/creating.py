"""What a client asks to create, in words of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...capabilities import Capabilities
from ...config import Config
from ..refusal import Refusal

__all__ = [
    "DEFAULT_MEMORY",
    "Wanted",
    "env_of",
    "is_name",
    "limits_of",
    "network_of",
    "template_of",
    "wanted_of",
]

BUILT_IN = re.compile(r"blaxel/(base-image|py-app|jupyter-server)(:[\w.-]+)?")
"""Blaxel's images that mean our default template, unless the configuration has them as aliases."""
DEFAULT_MEMORY = 4096
"""MiB, which the SDK asks for where its user named none."""
LONGEST_NAME = 49
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RULESETS = {"default", "proxy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A sandbox to be.

    Attributes:
        name: as its maker named it; ``None`` leaves it to us.
        image: likewise.
        memory: MiB.
        env: set for every command.
        labels: to find it by.
        display_name: for people.
        network: for `create`; ``None`` is as the profile has it.
        spec: as it was asked for, to be told again.
    """

    name: str | None
    image: str
    memory: int
    env: dict[str, str]
    labels: dict[str, str]
    display_name: str | None
    network: str | list[str] | None
    spec: dict[str, Any]


def wanted_of(body: Mapping[str, Any]) -> Wanted:
    """Read the body of a creation.

    Raises:
        Refusal: something in it is wrong, or not served.
    """
    metadata, spec = _table(body, "metadata"), _table(body, "spec")
    runtime = _table(spec, "runtime")
    name = metadata.get("name") or None
    if name is not None and not is_name(name):
        raise Refusal(
            400,
            "a sandbox's name is of lowercase letters, digits and single hyphens, 49 at most",
            name="INVALID_INPUT",
        )
    if spec.get("volumes"):
        raise Refusal(501, "volumes are not served by this gateway")
    memory = runtime.get("memory") or DEFAULT_MEMORY
    if isinstance(memory, bool) or not isinstance(memory, int) or memory <= 0:
        raise Refusal(400, "memory is not a number of megabytes", name="INVALID_INPUT")
    image = runtime.get("image") or "blaxel/base-image:latest"
    if not isinstance(image, str):
        raise Refusal(400, "image is not a name", name="INVALID_IMAGE")
    display_name = metadata.get("displayName")
    return Wanted(
        name=name,
        image=image,
        memory=memory,
        env=env_of(runtime),
        labels=_pairs(metadata, "labels"),
        display_name=display_name if isinstance(display_name, str) else None,
        network=network_of(_table(spec, "network")),
        spec=spec,
    )


def is_name(name: object) -> bool:
    """Whether a sandbox can have this name."""
    return isinstance(name, str) and len(name) <= LONGEST_NAME and bool(_NAME.fullmatch(name))


def env_of(table: Mapping[str, Any]) -> dict[str, str]:
    """The variables under ``envs``.

    Raises:
        Refusal: they are none.
    """
    found: dict[str, str] = {}
    listed = table.get("envs") or []
    if not isinstance(listed, list):
        raise Refusal(400, "envs are not a list", name="INVALID_INPUT")
    for one in listed:
        name, value = (one.get("name"), one.get("value")) if isinstance(one, dict) else (None, None)
        if not (isinstance(name, str) and name and isinstance(value, str)):
            raise Refusal(400, "an env has a name and a value", name="INVALID_INPUT")
        found[name] = value
    return found


def network_of(asked: Mapping[str, Any]) -> str | list[str] | None:
    """The network to create with; ``None`` where the client does not say.

    Raises:
        Refusal: it cannot be had as it is asked for.
    """
    proxy, firewall = _table(asked, "proxy"), _table(asked, "firewall")
    for table, names in ((asked, ("egress", "subnet", "forbiddenDomains")), (proxy, _PROXY)):
        for name in names:
            if table.get(name) not in (None, [], {}, "default"):
                raise Refusal(501, f"network: {name} is not served by this gateway")
    rulesets = firewall.get("rulesets") or []
    if not isinstance(rulesets, list) or not {*map(str, rulesets)} <= _RULESETS:
        raise Refusal(501, "network: these firewall rulesets are not served by this gateway")
    said = (table.get("allowedDomains") for table in (proxy, asked))
    allowed = next((one for one in said if one is not None), None)
    if allowed is None:
        return None
    if not isinstance(allowed, list) or not all(isinstance(one, str) and one for one in allowed):
        raise Refusal(400, "network: allowedDomains is not a list of hosts", name="INVALID_INPUT")
    return allowed or "none"


_PROXY = ("routing", "forbiddenDomains", "bypass")


def template_of(image: str, config: Config) -> str | None:
    """The logical template that a client's image means; ``None`` is the profile's.

    Raises:
        Refusal: it means nothing here.
    """
    for logical in config.template_names():
        if image == logical or image in config.template_fields(logical).get("aliases", ()):
            return logical
    if BUILT_IN.fullmatch(image):
        return None
    raise Refusal(400, f"image '{image[:128]}' not found", name="IMAGE_NOT_FOUND")


def limits_of(memory: int, capabilities: Capabilities) -> dict[str, Any] | None:
    """The limits to create with.

    Raises:
        Refusal: the provider cannot enforce what was asked for.
    """
    if memory == DEFAULT_MEMORY:
        return None  # nobody asked
    if not capabilities.limit_memory:
        raise Refusal(501, "the provider cannot limit memory")
    return {"memory": memory << 20}


def _table(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refusal(400, f"{name} is not an object", name="INVALID_INPUT")
    return dict(value) if value else {}


def _pairs(body: Mapping[str, Any], name: str) -> dict[str, str]:
    table = _table(body, name)
    if not all(isinstance(value, str) for value in table.values()):
        raise Refusal(400, f"{name} are not names and texts", name="INVALID_INPUT")
    return table
