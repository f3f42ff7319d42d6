"""What a client asks to create, in words of ours."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...capabilities import Capabilities
from ...config import Config
from ...config.schema import DEFAULT_TEMPLATES
from ..refusal import Refusal

__all__ = ["Wanted", "network_of", "template_of", "wanted_of"]

BUILT_IN = frozenset({"base", "code-interpreter-v1", "code-interpreter", "mcp-gateway"})
"""Templates of E2B's that mean our default one, unless the configuration has them as aliases."""
REFUSED = {
    "iam": "workload tokens are not served by this gateway",
}
_NETWORK = frozenset({"allowPublicTraffic", "allowOut", "denyOut"})
EVERYTHING = ("0.0.0.0/0", "::/0")
WITHOUT_TIMEOUT = {1: 15.0, 2: 300.0}
"""Seconds that a sandbox lives whose maker named none, by the version of the route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A sandbox to be.

    Attributes:
        template: as the client names it.
        timeout: seconds.
        auto_pause: whether it is to be paused at their end.
        auto_resume: whether a request is to wake it then.
        metadata: to find it by.
        env: set for every command.
        network: for `create`; ``None`` is as the profile has it.
        public: whether its ports are open to all who know its name.
        asked: the network as it was asked for.
        volumes: to be mounted: their names and paths.
        mcp: whether the client will start the program ``mcp-gateway`` in it.
    """

    template: str
    timeout: float
    auto_pause: bool
    auto_resume: bool
    metadata: dict[str, str]
    env: dict[str, str]
    network: str | list[str] | None
    public: bool
    asked: dict[str, Any]
    volumes: list[dict[str, str]]
    mcp: bool


def wanted_of(body: Mapping[str, Any], version: int, longest: float) -> Wanted:
    """Read the body of a creation.

    Raises:
        Refusal: something in it is wrong, or not served.
    """
    for name, why in REFUSED.items():
        if body.get(name):
            raise Refusal(501, why)
    template = body.get("templateID")
    if not isinstance(template, str) or not template:
        raise Refusal(400, "templateID is missing")
    auto_pause = _flag(body, "autoPause")
    auto_resume = _flag(_table(body, "autoResume"), "enabled")
    if auto_pause and auto_resume and body.get("autoPauseMemory") is False:
        raise Refusal(
            400, "a sandbox that is paused without its memory cannot be resumed by itself"
        )
    if auto_pause and body.get("autoPauseMemory") is False:
        raise Refusal(501, "pausing without memory is not served by this gateway")
    asked = _table(body, "network")
    internet = body.get("allow_internet_access")
    if version == 1 and internet is True:
        internet = None  # the SDKs of that time say so where their user said nothing
    return Wanted(
        template=template,
        timeout=timeout_of(body, longest, WITHOUT_TIMEOUT[version]),
        auto_pause=auto_pause,
        auto_resume=auto_resume,
        metadata=_pairs(body, "metadata"),
        env=_pairs(body, "envVars"),
        network=network_of(asked, internet),
        public=asked.get("allowPublicTraffic") is not False,
        asked=asked,
        volumes=_volumes(body),
        mcp=bool(_table(body, "mcp")),
    )


def timeout_of(body: Mapping[str, Any], longest: float, default: float) -> float:
    """The seconds that a client names.

    Raises:
        Refusal: they are none, or too many.
    """
    value = body.get("timeout")
    if value is None:
        return min(default, longest)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(400, "timeout is not a number of seconds")
    if value > longest:
        raise Refusal(400, f"Timeout cannot be greater than {longest / 3600:g} hours")
    return float(max(0, value))


def network_of(asked: Mapping[str, Any], internet: object) -> str | list[str] | None:
    """The network to create with; ``None`` where the client does not say.

    Raises:
        Refusal: it cannot be had as it is asked for.
    """
    unknown = sorted(name for name in asked if asked[name] and name not in _NETWORK)
    if unknown:
        raise Refusal(501, f"network: {', '.join(unknown)} is not served by this gateway")
    if internet is not None and not isinstance(internet, bool):
        raise Refusal(400, "allow_internet_access is not true or false")
    allowed, denied = _hosts(asked, "allowOut"), _hosts(asked, "denyOut")
    closed = internet is False or any(net in denied for net in EVERYTHING)
    names = [host for host in allowed if any(letter in string.ascii_letters for letter in host)]
    if names and not closed:
        raise Refusal(
            400,
            "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny"
            " out to block all other traffic.",
        )
    if any(net not in EVERYTHING for net in denied):
        raise Refusal(501, "network: denyOut other than of all traffic is not served")
    if any(net in allowed for net in EVERYTHING) and not closed:
        return "full"
    if closed:
        return allowed or "none"
    return "full" if internet else None


def template_of(name: str, config: Config) -> str | None:
    """The logical template that a client's name means; ``None`` is the profile's.

    Raises:
        Refusal: it means nothing here.
    """
    known = config.template_names()
    for logical in known:
        if name == logical or name in config.template_fields(logical).get("aliases", ()):
            return logical
    if name in BUILT_IN or name in DEFAULT_TEMPLATES:
        return None
    raise Refusal(404, f"template '{name}' not found")


def check_pause(wanted: Wanted, capabilities: Capabilities) -> None:
    """Refuse what the provider cannot do at the end of a sandbox's time.

    Raises:
        Refusal: it cannot pause.
    """
    if wanted.auto_pause and not capabilities.pause_on_timeout:
        raise Refusal(501, "the provider cannot pause sandboxes at the end of their time")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{name} is not true or false")
    return bool(value)


def _table(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refusal(400, f"{name} is not an object")
    return dict(value) if value else {}


def _pairs(body: Mapping[str, Any], name: str) -> dict[str, str]:
    table = _table(body, name)
    if not all(isinstance(value, str) for value in table.values()):
        raise Refusal(400, f"{name} are not names and texts")
    return table


def _volumes(body: Mapping[str, Any]) -> list[dict[str, str]]:
    value = body.get("volumeMounts") or []
    if not isinstance(value, list) or not all(
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("path"), str)
        and ":" not in one["path"]
        for one in value
    ):
        raise Refusal(400, "volumeMounts are names and paths")
    return [{"name": one["name"], "path": one["path"]} for one in value]


def _hosts(asked: Mapping[str, Any], name: str) -> list[str]:
    value = asked.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise Refusal(400, f"network: {name} is not a list of hosts")
    return value
