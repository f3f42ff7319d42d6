"""What a provider would do for a specification, said before anything is made or paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .capabilities import Capabilities
from .errors import UnsupportedError
from .spec import SandboxSpec

__all__ = ["Plan", "PlanItem", "make_plan"]

Level = Literal["native", "emulated", "unsupported"]


@dataclass(frozen=True, slots=True)
class PlanItem:
    """How one requested field would be served.

    Attributes:
        field: as `create` names it.
        capability: what it takes.
        level: ``native``, ``emulated`` or ``unsupported``.
        security: whether going without is never an option.
    """

    field: str
    capability: str
    level: Level
    security: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How a specification would be served.

    Attributes:
        provider: by whom.
        items: one for each requested field that takes a capability.
    """

    provider: str
    items: tuple[PlanItem, ...]

    @property
    def unsupported(self) -> tuple[PlanItem, ...]:
        """What the provider cannot do."""
        return tuple(item for item in self.items if item.level == "unsupported")

    def check(self, *, best_effort: bool = False) -> None:
        """Refuse what cannot be done.

        Args:
            best_effort: let conveniences go; security fields never.

        Raises:
            UnsupportedError: naming the first field that cannot be served.
        """
        for item in self.unsupported:
            if item.security or not best_effort:
                raise UnsupportedError(
                    f"provider {self.provider!r} cannot serve {item.field} "
                    f"(it lacks {item.capability!r}){_advice(item)}",
                    capability=item.capability,
                    hint="sandboxkit providers",
                    provider=self.provider,
                    op="create",
                )


def _advice(item: PlanItem) -> str:
    if item.capability == "network_none":
        return '; write network="full" to accept that the sandbox reaches the network'
    if item.capability == "lifetime_unlimited":
        return '; name a lifetime, such as lifetime="1h"'
    if item.security:
        return ""
    return "; best_effort=True goes without it"


def _network(spec: SandboxSpec) -> str:
    return {"none": "network_none", "full": "network_full"}.get(str(spec.network), "network_rules")


def _needs(spec: SandboxSpec) -> Iterator[tuple[str, str, bool]]:
    yield f"network={spec.network!r}", _network(spec), True
    for limit in ("cpu", "memory", "disk", "pids"):
        value = getattr(spec.resources, limit)
        if value is not None:
            yield f"resources.{limit}={value}", f"limit_{limit}", not spec.best_effort
    if "dockerfile" in (spec.provider_options.get("template") or ()):
        yield "template", "images", True
    if spec.image is not None:
        yield f"image={spec.image!r}", "images", True
    if spec.snapshot is not None:
        yield "snapshot", "snapshots", True
    if spec.user is not None:
        yield f"user={spec.user!r}", "users", True
    if spec.lifetime is None:
        yield "lifetime=None", "lifetime_unlimited", True
    if spec.idle_timeout is not None:
        yield "idle_timeout", "idle_timeout", False
    if spec.on_timeout == "pause":
        yield 'on_timeout="pause"', "pause_on_timeout", False
    if spec.ports:
        yield "ports", "ports", False
    if spec.mounts:
        yield "mounts", "mounts", True


def make_plan(
    spec: SandboxSpec, provider: str, capabilities: Capabilities, emulated: frozenset[str]
) -> Plan:
    """Hold a specification against what a provider declares. Creates nothing."""
    flags = capabilities.flags()

    def level(capability: str) -> Level:
        if capability in emulated:
            return "emulated"
        return "native" if flags.get(capability, False) else "unsupported"

    return Plan(
        provider,
        tuple(
            PlanItem(field, capability, level(capability), security)
            for field, capability, security in _needs(spec)
        ),
    )
