"""Lists of sandboxes and snapshots, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..refusal import Refusal
from ..state import SandboxRecord, SnapshotRecord

__all__ = ["page_of"]

MOST = 200
"""Entries of a page."""
USUAL = 50

T = TypeVar("T", SandboxRecord, SnapshotRecord)


def page_of(found: Sequence[T], query: Mapping[str, str]) -> tuple[list[T], str | None]:
    """The page that a query asks for, newest first, and what to ask for the next one with.

    Raises:
        Refusal: the limit or the cursor is malformed.
    """
    limit = query.get("limit", str(USUAL))
    if not (limit.isascii() and limit.isdigit() and 0 < len(limit) <= 6 and int(limit) > 0):
        raise Refusal(400, "limit is not a number from 1 on", name="INVALID_INPUT")
    count = min(MOST, int(limit))
    rest = sorted(found, key=_place, reverse=True)
    if cursor := query.get("cursor"):
        last = _unpacked(cursor)
        rest = [one for one in rest if _place(one) < last]  # also if that one has ended meanwhile
    page = rest[:count]
    return page, _packed(page[-1]) if len(rest) > count else None


def _place(one: SandboxRecord | SnapshotRecord) -> tuple[float, str]:
    return one.started_at if isinstance(one, SandboxRecord) else one.created_at, one.id


def _packed(one: SandboxRecord | SnapshotRecord) -> str:
    moment, identifier = _place(one)
    return base64.urlsafe_b64encode(f"{moment!r} {identifier}".encode()).decode()


def _unpacked(cursor: str) -> tuple[float, str]:
    try:
        moment, _, identifier = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return float(moment), identifier
    except (binascii.Error, ValueError):
        raise Refusal(400, "the cursor is not one of ours", name="INVALID_INPUT") from None
