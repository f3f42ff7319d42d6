"""What a name means that a client creates from: a template of the configuration, or a snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...config import load_config
from ..keys import Tenant
from ..state import SnapshotRecord, State
from .creating import template_of

__all__ = ["BASES", "Origin", "named", "origin_of"]

BASES = frozenset({"e2bdev/base", "e2bdev/code-interpreter"})
"""Images of E2B's that its own templates start from; here, what the profile makes by default."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What to start from.

    Attributes:
        arguments: for `create`.
        settings: what holds in sandboxes that are made from it.
    """

    arguments: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


def named(record: SnapshotRecord, name: str) -> bool:
    """Whether a client means this snapshot, or this build of a template."""
    if not record.template:
        return name in (record.id, *record.names)
    head, _, tag = name.partition(":")
    return name == record.id or (
        head in (record.template, *record.names) and (tag or "default") in record.tags
    )


def origin_of(name: str, state: State, tenant: Tenant) -> Origin:
    """What to start from for a name.

    Raises:
        Refusal: it means nothing here.
    """
    found = [
        record
        for record in state.snapshots.values()
        if record.tenant == tenant.name and named(record, name)
    ]
    if found:  # of several that were given one name, the last
        record = max(found, key=lambda one: one.created_at)
        return Origin({"snapshot": record.address}, record.settings)
    logical = template_of(name, load_config())
    return Origin({} if logical is None else {"template": logical})
