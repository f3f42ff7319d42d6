"""Lists of sandboxes: filters, order, pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from ...models import SandboxInfo
from ..refusal import Refusal
from ..state import SandboxRecord

__all__ = ["page_after", "page_of"]

MOST = 100
"""Entries of a page."""

Found = tuple[SandboxRecord, SandboxInfo]
T = TypeVar("T")


def page_of(
    found: Sequence[Found], query: Mapping[str, str], *, only_running: bool
) -> tuple[list[Found], str | None]:
    """The page that a query asks for, and what to ask for the next one with.

    Raises:
        Refusal: the query is malformed.
    """
    kept = [one for one in found if _fits(one, query, only_running=only_running)]
    kept.sort(key=lambda one: (one[0].started_at, one[0].id), reverse=query.get("order") != "asc")
    if only_running:
        return kept, None
    return page_after(kept, [one[0].id for one in kept], query.get("limit"), query.get("nextToken"))


def page_after(
    items: Sequence[T], names: Sequence[str], limit: str | None, token: str | None
) -> tuple[list[T], str | None]:
    """The items after the one that a token names.

    Raises:
        Refusal: the limit or the token is malformed.
    """
    count = MOST
    if limit is not None:
        if not (limit.isascii() and limit.isdigit() and 0 < len(limit) <= 6 and int(limit) > 0):
            raise Refusal(400, "limit is not a number from 1 on")
        count = min(MOST, int(limit))
    first = 0
    if token:
        try:
            last = base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise Refusal(400, "nextToken is not one of ours") from None
        # One that has ended meanwhile has no successor that could be told.
        first = names.index(last) + 1 if last in names else len(names)
    page = [*items[first : first + count]]
    if first + count >= len(items):
        return page, None
    return page, base64.urlsafe_b64encode(names[first + count - 1].encode()).decode()


def _fits(one: Found, query: Mapping[str, str], *, only_running: bool) -> bool:
    record, info = one
    states = [state for state in query.get("state", "").split(",") if state]
    if any(state not in ("running", "paused") for state in states):
        raise Refusal(400, "state is running, paused or both")
    if (states and info.state not in states) or (only_running and info.state != "running"):
        return False
    if (template := query.get("template")) and template != record.template:
        return False
    if since := query.get("startedAfter"):
        try:
            moment = datetime.fromisoformat(since.replace(" ", "+")).timestamp()
        except ValueError:
            raise Refusal(400, "startedAfter is not a moment") from None
        if record.started_at <= moment:
            return False
    # Each part was quoted before they were joined, and the whole again.
    wanted = parse_qsl(query.get("metadata", ""), keep_blank_values=True)
    return all(record.metadata.get(unquote(name)) == unquote(value) for name, value in wanted)
