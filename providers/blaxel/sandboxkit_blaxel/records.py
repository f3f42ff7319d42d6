"""What is written down with a sandbox, as Blaxel's labels, and what is read back from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandboxkit.errors import InvalidRequestError
from sandboxkit.guest.carried import Orders
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest

from . import sdk

__all__ = [
    "created",
    "ends_of",
    "fits",
    "is_live",
    "labels",
    "labels_of",
    "lifecycle",
    "name_for",
    "orders",
    "sandbox_info",
]

_PREFIX = "sandboxkit."
_LABELS = ("owner", "session", "nonce", "expires_at")
_ORDERS = ("user", "workdir", "shell")
_OVER = {"DELETING", "TERMINATED", "DEACTIVATING", "DEACTIVATED", "FAILED"}
"""The statuses of a sandbox that is, or will be, no more."""


def name_for(nonce: str) -> str:
    """The name of the sandbox of a request, which is its id: asked for twice, it is one."""
    return "sk-" + hashlib.sha256(nonce.encode()).hexdigest()[:24]


def labels(request: CreateRequest, shell: str) -> dict[str, str]:
    """A request's metadata, and ours.

    Raises:
        InvalidRequestError: the user's would be taken for ours.
    """
    for name in request.metadata:
        if name.startswith(_PREFIX):
            raise InvalidRequestError(f"create: metadata named {name!r} would be taken for ours")
    ours = {_PREFIX + name: value for name, value in request.labels.items()}
    told = {"user": request.user, "workdir": request.workdir, "shell": shell}
    ours.update({_PREFIX + name: value for name, value in told.items() if value})
    return {**request.metadata, **ours}


def labels_of(found: sdk.Sandbox) -> dict[str, str]:
    """The labels of a sandbox."""
    kept = found.metadata.labels
    table: Mapping[str, Any] = {} if isinstance(kept, sdk.Unset) else kept.to_dict()
    return {name: value for name, value in table.items() if isinstance(value, str)}


def orders(kept: Mapping[str, str]) -> Orders:
    """What the guest of a sandbox with these labels is told."""
    found = {name: kept.get(_PREFIX + name) for name in _ORDERS}
    return Orders(user=found["user"], workdir=found["workdir"], shell=found["shell"] or "")


def lifecycle(lifetime: float | None, idle: str | None = None) -> sdk.SandboxLifecycle:
    """When Blaxel is to delete a sandbox.

    By a date, as an age must be five minutes at least, and counts from the creation.

    Args:
        lifetime: seconds from now; ``None`` is never.
        idle: a duration of Blaxel's without activity, such as ``30m``.
    """
    policies = []
    if lifetime is not None:
        ends = datetime.now(UTC) + timedelta(seconds=max(1.0, lifetime))
        policies.append(
            _policy("date", ends.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        )
    if idle is not None:
        policies.append(_policy("ttl-idle", idle))
    return sdk.SandboxLifecycle(expiration_policies=policies)


def idle_of(found: sdk.Sandbox) -> str | None:
    """The duration without activity after which Blaxel deletes a sandbox, if it does."""
    for policy in _policies(found):
        if str(policy.type_) == "ttl-idle" and isinstance(policy.value, str):
            return policy.value
    return None


def _policies(found: sdk.Sandbox) -> list[sdk.ExpirationPolicy]:
    cycle = found.spec.lifecycle
    policies = [] if isinstance(cycle, sdk.Unset) else cycle.expiration_policies
    return [] if isinstance(policies, sdk.Unset) else policies


def _policy(kind: str, value: str) -> sdk.ExpirationPolicy:
    made = sdk.ExpirationPolicy.from_dict({"type": kind, "value": value, "action": "delete"})
    assert made is not None
    return made


def is_live(found: sdk.Sandbox) -> bool:
    """Whether a sandbox is there: Blaxel shows for a while what it has deleted."""
    return str(found.status) not in _OVER


def fits(info: SandboxInfo, wanted: Mapping[str, str], metadata: Mapping[str, str]) -> bool:
    """Whether a sandbox carries all of these; Blaxel looks for none itself."""
    return all(info.labels.get(name) == value for name, value in wanted.items()) and all(
        info.metadata.get(name) == value for name, value in metadata.items()
    )


def created(wanted: sdk.Sandbox, request: CreateRequest, image: str, isolation: str) -> SandboxInfo:
    """What is known of a sandbox that was made just now, as it was wanted."""
    return SandboxInfo(
        id=wanted.metadata.name,
        provider="blaxel",
        template=image,
        isolation=isolation,
        created_at=datetime.now(UTC),
        expires_at=ends_of(wanted),
        labels=dict(request.labels),
        metadata=dict(request.metadata),
        workdir=request.workdir or "/",
        user=request.user or "root",
    )


def sandbox_info(found: sdk.Sandbox, isolation: str) -> SandboxInfo:
    """What Blaxel says of a sandbox."""
    kept = labels_of(found)
    runtime = found.spec.runtime
    image = "" if isinstance(runtime, sdk.Unset) else runtime.image
    return SandboxInfo(
        id=found.metadata.name,
        provider="blaxel",
        template=image if isinstance(image, str) else "",
        isolation=isolation,
        created_at=_moment(found.metadata.created_at) or datetime.now(UTC),
        expires_at=ends_of(found),
        labels={name: kept[_PREFIX + name] for name in _LABELS if _PREFIX + name in kept},
        metadata={key: value for key, value in kept.items() if not key.startswith(_PREFIX)},
        workdir=kept.get(_PREFIX + "workdir") or "/",
        user=kept.get(_PREFIX + "user") or "root",
    )


def ends_of(found: sdk.Sandbox) -> datetime | None:
    """When it ends by a date, or by its age as Blaxel counts it."""
    for policy in _policies(found):
        if str(policy.type_) == "date" and (ends := _moment(policy.value)) is not None:
            return ends
    if isinstance(found.expires_in, int):
        return datetime.now(UTC) + timedelta(seconds=found.expires_in)
    return None


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
