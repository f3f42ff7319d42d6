"""Making, finding and ending sandboxes: the requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from ..models import SandboxState, SnapshotKind

__all__ = [
    "CreateRequest",
    "ForkRequest",
    "HostMount",
    "KillRequest",
    "LifetimeRequest",
    "ListRequest",
    "PauseRequest",
    "ProviderSettings",
    "ResumeRequest",
    "SandboxRequest",
]


class ProviderSettings(BaseModel):
    """What a profile may say to a provider beyond the common fields; providers subclass it.

    Attributes:
        without: capabilities that are not there where this profile leads, or must not be used: what
            wants them is refused before anything is made. Kept by the core.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    without: frozenset[str] = frozenset()

    @field_validator("*", mode="after")
    @classmethod
    def _usable(cls, value: object, info: ValidationInfo) -> object:
        """Refuse here what an HTTP library would refuse later, with the secret in its message."""
        if isinstance(value, str) and not cls.model_fields[info.field_name or ""].repr:
            value = value.strip()
            if not (value.isascii() and value.isprintable()):
                raise ValueError("has a line break or another character that no secret has")
        if isinstance(value, str) and info.field_name == "proxy":
            try:
                usable = bool(urlsplit(value).hostname) and urlsplit(value).port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("is not the URL of a proxy, as http://HOST:PORT")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMount:
    """A host directory shown inside a sandbox.

    Attributes:
        source: absolute, on the host; it is there.
        target: absolute, in the sandbox; made if it is missing.
        read_only: whether the sandbox may only look.
    """

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """Make a sandbox. Every field is already resolved and checked against the capabilities.

    Attributes:
        nonce: unique to this request; also in `labels`. The same nonce never makes two sandboxes.
        template: the provider's own name of what to start from; ``None`` is its default.
        image: a container image to start from instead (capability ``images``).
        snapshot: the id of a snapshot to start from instead.
        lifetime: seconds until the sandbox ends by itself; ``None`` is for ever.
        idle_timeout: seconds without an operation in progress after which it ends as at the end
            of its lifetime (capability ``idle_timeout``); ``None`` is no limit.
        on_timeout: what happens then, and at the end of its lifetime: ``pause`` takes the
            capability of that name.
        create_timeout: seconds by which it must be ready.
        env: set for every command.
        workdir: where relative paths start; ``None`` is the template's.
        user: who commands run as; ``None`` is the template's.
        labels: who made it (``owner``, ``session``, ``nonce``, ``expires_at``).
        metadata: what the user attached.
        cpu: cores, may be fractional; ``None`` is the provider's default.
        memory: bytes; disk: bytes; pids: a count. ``None`` is the provider's default.
        mounts: host directories to show inside (capability ``mounts``).
        network: ``"none"``, ``"full"``, or the hosts and networks that may be reached.
        best_effort: limits that cannot be enforced are named in ``SandboxInfo.unenforced``
            instead of being refused.
        options: for this provider alone, passed through.
    """

    nonce: str
    template: str | None = None
    image: str | None = None
    snapshot: str | None = None
    lifetime: float | None = 3600.0
    idle_timeout: float | None = None
    on_timeout: Literal["kill", "pause"] = "kill"
    create_timeout: float = 120.0
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    pids: int | None = None
    mounts: tuple[HostMount, ...] = ()
    network: Literal["none", "full"] | tuple[str, ...] = "none"
    best_effort: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """An operation on one sandbox."""

    sandbox_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRequest(SandboxRequest):
    """End a sandbox and everything in it, and return once that is verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeRequest(SandboxRequest):
    """Let the sandbox end `lifetime` seconds from now, or never if it is ``None``."""

    lifetime: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequest(SandboxRequest):
    """Stop a sandbox so that it uses no cpu, its state kept as ``pause_keeps`` declares.

    Its lifetime stands still meanwhile. Pausing a paused sandbox is no error.

    Attributes:
        lifetime: seconds after which a sandbox that is still paused ends; ``None`` is never.
    """

    lifetime: float | None = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest(SandboxRequest):
    """Let a paused sandbox go on; its lifetime goes on too. Resuming a running one is no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest(SandboxRequest):
    """Make `count` sandboxes with the state of this one, all or none; this one goes on.

    Attributes:
        count: how many.
        kind: how deep their state goes.
        labels: of each; ``nonce`` is completed with its number.
        lifetime: seconds, of each.
    """

    count: int
    kind: SnapshotKind = "filesystem"
    labels: Mapping[str, str] = field(default_factory=dict)
    lifetime: float | None = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """List sandboxes, over all pages.

    Attributes:
        labels: only those that carry all of these labels.
        metadata: only those that carry all of this metadata.
        state: only those in this state.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: SandboxState | None = None
