"""When a sandbox ends: Blaxel's durations, dates and policies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..refusal import Refusal

__all__ = ["Ends", "ends_of"]

_DURATION = re.compile(r"(\d{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LEAST_AGE, LEAST_IDLE = 300.0, 60.0
"""Seconds; what is shorter is refused by Blaxel."""


class Ends(NamedTuple):
    """How a sandbox ends by itself.

    Attributes:
        at: seconds since the epoch, or ``None``.
        idle: seconds without activity after which it does, or ``None``.
    """

    at: float | None
    idle: float | None


def ends_of(spec: Mapping[str, Any], created: float, *, strict: bool) -> Ends:
    """What a sandbox's specification says of its end: the earliest of all that it names.

    Args:
        spec: as the wire has it.
        created: when it was made, in seconds since the epoch.
        strict: whether to refuse what is shorter than Blaxel takes.

    Raises:
        Refusal: something in it cannot be read, or is too short.
    """
    at: list[float] = []
    idle: list[float] = []
    for kind, value in _named(spec):
        if kind == "date":
            at.append(_moment(value))
            continue
        seconds = _seconds(kind, value)
        least = LEAST_IDLE if kind == "ttl-idle" else LEAST_AGE
        if strict and seconds < least:
            raise Refusal(400, f"{kind} must be at least {least:g}s", name="VALIDATION_FAILED")
        if kind == "ttl-idle":
            idle.append(seconds)
        else:
            at.append(created + seconds)
    return Ends(min(at, default=None), min(idle, default=None))


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    runtime = spec.get("runtime") or {}
    if runtime.get("ttl"):
        yield "ttl-max-age", runtime["ttl"]
    if runtime.get("expires"):
        yield "date", runtime["expires"]
    lifecycle = spec.get("lifecycle") or {}
    policies = (lifecycle.get("expirationPolicies") or []) if isinstance(lifecycle, dict) else None
    if not isinstance(policies, list) or not all(isinstance(one, dict) for one in policies):
        raise Refusal(400, "expirationPolicies are not a list of policies", name="INVALID_INPUT")
    for policy in policies:
        if policy.get("type") not in ("ttl-idle", "ttl-max-age", "date"):
            raise Refusal(400, "an expiration policy has no known type", name="INVALID_INPUT")
        if policy.get("action", "delete") != "delete":
            raise Refusal(400, "the action of a policy is delete", name="INVALID_INPUT")
        yield policy["type"], policy.get("value")


def _seconds(kind: str, value: Any) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refusal(400, f"{kind} is no duration such as 30m or 24h", name="VALIDATION_FAILED")
    return float(found[1]) * _UNITS[found[2]]


def _moment(value: Any) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refusal(400, "a date is not in ISO 8601", name="VALIDATION_FAILED") from None
    if moment.tzinfo is None:
        raise Refusal(400, "a date has no time zone", name="VALIDATION_FAILED")
    return moment.timestamp()
