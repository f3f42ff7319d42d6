"""What is written down with a sandbox, as Daytona's labels, and what is read back from it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from daytona import AsyncSandbox

from sandboxkit.errors import InvalidRequestError
from sandboxkit.guest.carried import Orders
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest, ListRequest

__all__ = [
    "Pause",
    "created_at",
    "expiry",
    "filters",
    "is_over",
    "is_paused",
    "is_there",
    "labels",
    "labels_expiring",
    "labels_paused",
    "minutes",
    "orders",
    "pause",
    "sandbox_info",
]

_PREFIX = "sandboxkit."
_LABELS = ("owner", "session", "nonce")
_ORDERS = ("user", "workdir", "shell")
_EXPIRES = _PREFIX + "expires_at"
_LEFT = _PREFIX + "left"
_UNTIL = _PREFIX + "until"
_THEIRS = "code-toolbox-language"  # that the SDK adds

# By value: the SDK has two enumerations of these, of which neither is the other.
_STILL = frozenset({"stopped", "stopping", "paused", "pausing", "archived", "archiving"})
_GONE = frozenset({"destroyed", "destroying"})


class Pause(NamedTuple):
    """What is written down of a sandbox that stands still.

    Attributes:
        left: seconds that it has to live when it goes on; ``None`` is no end.
        until: when it ends unless it goes on, in seconds since 1970; ``None`` is never.
    """

    left: float | None
    until: float | None


def labels(request: CreateRequest, shell: str) -> dict[str, str]:
    """A request's metadata, and ours.

    Raises:
        InvalidRequestError: the user's would be taken for ours.
    """
    for name in request.metadata:
        if name.startswith(_PREFIX) or name == _THEIRS:
            raise InvalidRequestError(f"create: metadata named {name!r} would be taken for ours")
    ours = {_PREFIX + name: value for name, value in request.labels.items()}
    if request.lifetime is not None:
        ours[_EXPIRES] = _moment(time.time() + request.lifetime)
    told = {"user": request.user, "workdir": request.workdir, "shell": shell}
    ours.update({_PREFIX + name: value for name, value in told.items() if value})
    return {**request.metadata, **ours}


def labels_expiring(kept: Mapping[str, str], expires: float | None) -> dict[str, str]:
    """A sandbox's labels once it is to end at another moment and stands still no more."""
    left = {name: value for name, value in kept.items() if name not in (_EXPIRES, _LEFT, _UNTIL)}
    return left if expires is None else {**left, _EXPIRES: _moment(expires)}


def labels_paused(kept: Mapping[str, str], paused: Pause) -> dict[str, str]:
    """A sandbox's labels once it stands still."""
    left = "ever" if paused.left is None else f"{paused.left:.3f}"
    until = "ever" if paused.until is None else _moment(paused.until)
    rest = {name: value for name, value in kept.items() if name != _EXPIRES}
    return {**rest, _LEFT: left, _UNTIL: until}


def pause(kept: Mapping[str, str]) -> Pause | None:
    """What these labels say of a pause."""
    if _LEFT not in kept:
        return None
    left, until = kept[_LEFT], kept.get(_UNTIL, "ever")
    try:
        return Pause(
            None if left == "ever" else float(left),
            None if until == "ever" else datetime.fromisoformat(until).timestamp(),
        )
    except ValueError:
        return None


def expiry(kept: Mapping[str, str], *, paused: bool) -> float | None:
    """When a sandbox with these labels ends, in seconds since 1970; ``None`` is never."""
    written = pause(kept)
    if paused and written is not None:
        return written.until
    try:
        return datetime.fromisoformat(kept[_EXPIRES]).timestamp()
    except (KeyError, ValueError):
        return None


def orders(kept: Mapping[str, str]) -> Orders:
    """What the guest of a sandbox with these labels is told."""
    found = {name: kept.get(_PREFIX + name) for name in _ORDERS}
    return Orders(user=found["user"], workdir=found["workdir"], shell=found["shell"] or "")


def filters(request: ListRequest) -> dict[str, str]:
    """The labels that are looked for."""
    ours = {_PREFIX + name: value for name, value in request.labels.items()}
    return {**request.metadata, **ours}


def minutes(machine: AsyncSandbox | None, expires: float | None) -> int:
    """A time to live as Daytona counts it: whole minutes since the sandbox was made; 0 is none.

    Args:
        machine: the sandbox; ``None`` if it is made now.
        expires: seconds since 1970.
    """
    if expires is None:
        return 0
    made = time.time() if machine is None else created_at(machine).timestamp()
    return max(1, math.ceil((expires - made) / 60))


def created_at(machine: AsyncSandbox) -> datetime:
    """When a sandbox was made."""
    text = machine.created_at
    return datetime.fromisoformat(text) if text else datetime.now(UTC)


def is_there(machine: AsyncSandbox) -> bool:
    """Whether a sandbox is not gone, nor going."""
    return _state(machine) not in _GONE


def is_paused(machine: AsyncSandbox) -> bool:
    """Whether a sandbox stands still."""
    return _state(machine) in _STILL


def is_over(machine: AsyncSandbox) -> bool:
    """Whether a sandbox's time has passed, though Daytona, which counts minutes, still has it."""
    ends = expiry(machine.labels, paused=is_paused(machine))
    return ends is not None and ends <= time.time()


def sandbox_info(machine: AsyncSandbox, isolation: str) -> SandboxInfo:
    """What Daytona says of a sandbox."""
    kept, paused = machine.labels, is_paused(machine)
    ends = expiry(kept, paused=paused)
    user = machine.user or "daytona"
    labels = {name: kept[_PREFIX + name] for name in _LABELS if _PREFIX + name in kept}
    if ends is not None:
        labels["expires_at"] = _moment(ends)
    return SandboxInfo(
        id=machine.id,
        provider="daytona",
        state="paused" if paused else "running",
        template=machine.snapshot or "",
        isolation=isolation,
        created_at=created_at(machine),
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        labels=labels,
        metadata={
            name: value
            for name, value in kept.items()
            if not name.startswith(_PREFIX) and name != _THEIRS
        },
        workdir=kept.get(_PREFIX + "workdir") or f"/home/{user}",
        user=kept.get(_PREFIX + "user") or user,
        network=_network(machine),
    )


def _network(machine: AsyncSandbox) -> Literal["none", "full"] | tuple[str, ...]:
    if machine.network_block_all:
        return "none"
    listed = f"{machine.network_allow_list or ''},{machine.domain_allow_list or ''}"
    return tuple(part.strip() for part in listed.split(",") if part.strip()) or "full"


def _state(machine: AsyncSandbox) -> str:
    return "" if machine.state is None else str(machine.state.value)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
