"""What is written down with a sandbox, as E2B's metadata, and what is read back from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from e2b import SandboxInfo as SdkInfo
from e2b import SandboxState as SdkState

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.guest.carried import Orders
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest, ListRequest

__all__ = [
    "created",
    "filters",
    "lifetime_of",
    "metadata",
    "orders",
    "sandbox_info",
    "seconds",
]

_PREFIX = "sandboxkit."
_LABELS = ("owner", "session", "nonce", "expires_at")
_LIFETIME = _PREFIX + "lifetime"
_ORDERS = ("user", "workdir", "shell")

_Network = Literal["none", "full"] | tuple[str, ...]


def metadata(request: CreateRequest, shell: str) -> dict[str, str]:
    """A request's metadata, and ours.

    Raises:
        InvalidRequestError: the user's would be taken for ours.
    """
    for name in request.metadata:
        if name.startswith(_PREFIX):
            raise InvalidRequestError(f"create: metadata named {name!r} would be taken for ours")
    ours = {_PREFIX + name: value for name, value in request.labels.items()}
    ours[_LIFETIME] = str(seconds(request.lifetime))
    told = {
        "user": request.user,
        "workdir": request.workdir,
        "shell": shell,
        "network": _written(request.network),
    }
    ours.update({_PREFIX + name: value for name, value in told.items() if value})
    return {**request.metadata, **ours}


def _written(network: _Network) -> str:
    return network if isinstance(network, str) else " ".join(network)


def _network(text: str | None) -> _Network | None:
    if text is None or text == "none":
        return "none" if text else None
    return "full" if text == "full" else tuple(text.split())


def orders(kept: Mapping[str, str]) -> Orders:
    """What the guest of a sandbox with this metadata is told."""
    found = {name: kept.get(_PREFIX + name) for name in _ORDERS}
    return Orders(user=found["user"], workdir=found["workdir"], shell=found["shell"] or "")


def filters(request: ListRequest) -> dict[str, str]:
    """The metadata that is looked for."""
    labels = {_PREFIX + name: value for name, value in request.labels.items()}
    return {**request.metadata, **labels}


def seconds(lifetime: float | None) -> int:
    """A lifetime as E2B takes it.

    Raises:
        UnsupportedError: it has no end.
    """
    if lifetime is None:
        raise UnsupportedError(
            "E2B ends every sandbox: an hour, or 24 with a paid plan, is the longest; "
            "set_lifetime() gives it more time again",
            capability="lifetime",
            provider="e2b",
        )
    return max(1, math.ceil(lifetime))


def lifetime_of(kept: Mapping[str, str]) -> int | None:
    """The lifetime that a sandbox was made with; ``None`` if it is not known."""
    text = kept.get(_LIFETIME, "")
    return int(text) if text.isascii() and text.isdecimal() else None


def created(sandbox_id: str, request: CreateRequest, template: str, isolation: str) -> SandboxInfo:
    """What is known of a sandbox that was made just now."""
    now = datetime.now(UTC)
    return SandboxInfo(
        id=sandbox_id,
        provider="e2b",
        template=template,
        isolation=isolation,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds(request.lifetime)),
        labels=dict(request.labels),
        metadata=dict(request.metadata),
        network=request.network,
        workdir=request.workdir or "/home/user",
        user=request.user or "user",
    )


def sandbox_info(found: SdkInfo, isolation: str) -> SandboxInfo:
    """What E2B says of a sandbox."""
    kept = found.metadata
    paused = found.state == SdkState.PAUSED
    return SandboxInfo(
        id=found.sandbox_id,
        provider="e2b",
        state="paused" if paused else "running",
        template=found.name or found.template_id,
        isolation=isolation,
        created_at=found.started_at,
        expires_at=None if paused else found.end_at,  # E2B keeps a paused one for ever
        labels={name: kept[_PREFIX + name] for name in _LABELS if _PREFIX + name in kept},
        metadata={key: value for key, value in kept.items() if not key.startswith(_PREFIX)},
        network=_network(kept.get(_PREFIX + "network")),
        workdir=kept.get(_PREFIX + "workdir") or "/home/user",
        user=kept.get(_PREFIX + "user") or "user",
    )
