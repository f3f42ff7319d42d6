"""Lists of sandboxes: filters, order, pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from starlette.datastructures import QueryParams

from .faults import fault

__all__ = ["limit_of", "numbered", "page_of", "wanted_by"]

MOST = 200
"""Entries of a page."""
USUAL = 100

T = TypeVar("T")


def limit_of(query: QueryParams) -> int:
    """How many entries a page is to have.

    Raises:
        Refusal: it is no number.
    """
    return min(MOST, _number(query, "limit", USUAL))


def _number(query: QueryParams, name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value) > 0):
        raise fault(400, f"{name} is not a number from 1 on")
    return int(value)


def wanted_by(query: QueryParams) -> Callable[[dict[str, Any]], bool]:
    """Whether a query wants a sandbox, as the wire shows it.

    Raises:
        Refusal: the query is malformed.
    """
    labels = _labels(query)
    states = query.getlist("states")
    snapshots = query.getlist("snapshots")
    name, identifier, public = query.get("name"), query.get("id"), query.get("isPublic")
    after, before = _moment(query, "createdAtAfter"), _moment(query, "createdAtBefore")

    def wanted(shown: dict[str, Any]) -> bool:
        made = datetime.fromisoformat(shown["createdAt"])
        return (
            all(shown["labels"].get(key) == value for key, value in labels.items())
            and (not states or shown["state"] in states)
            and (not snapshots or shown["snapshot"] in snapshots)
            and (name is None or shown["name"].startswith(name))
            and (identifier is None or shown["id"].startswith(identifier))
            and (public is None or shown["public"] == (public.lower() == "true"))
            and (after is None or made > after)
            and (before is None or made < before)
        )

    return wanted


def _labels(query: QueryParams) -> dict[str, str]:
    try:
        labels = json.loads(query.get("labels") or "{}")
    except ValueError:
        raise fault(400, "labels is not JSON") from None
    if not isinstance(labels, dict) or not all(isinstance(one, str) for one in labels.values()):
        raise fault(400, "labels are not names and texts")
    return labels


def _moment(query: QueryParams, name: str) -> datetime | None:
    value = query.get(name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value.replace(" ", "+")).astimezone()
    except ValueError:
        raise fault(400, f"{name} is not a moment") from None


def page_of(
    shown: Sequence[dict[str, Any]], query: QueryParams
) -> tuple[list[dict[str, Any]], str | None]:
    """The page that a query asks for, and the cursor of the next one.

    Raises:
        Refusal: the cursor is none of ours.
    """
    reverse = query.get("order", "desc") != "asc"
    key = {"name": "name", "updatedAt": "updatedAt"}.get(query.get("sort", ""), "createdAt")
    items = sorted(shown, key=lambda one: (one[key], one["id"]), reverse=reverse)
    first = 0
    if cursor := query.get("cursor"):
        try:
            place = tuple(json.loads(base64.urlsafe_b64decode(cursor)))
        except (binascii.Error, ValueError, TypeError):
            raise fault(400, "the cursor is not one of ours") from None
        # What has ended meanwhile still has its place in the order.
        later = (
            index
            for index, one in enumerate(items)
            if ((one[key], one["id"]) < place if reverse else (one[key], one["id"]) > place)
        )
        first = next(later, len(items))
    count = limit_of(query)
    page = items[first : first + count]
    if first + count >= len(items):
        return page, None
    last = json.dumps([page[-1][key], page[-1]["id"]]).encode()
    return page, base64.urlsafe_b64encode(last).decode()


def numbered(items: Sequence[T], query: QueryParams) -> dict[str, Any]:
    """A page by its number.

    Raises:
        Refusal: the number is none.
    """
    page, limit = _number(query, "page", 1), limit_of(query)
    return {
        "items": [*items[(page - 1) * limit : page * limit]],
        "total": len(items),
        "page": page,
        "totalPages": max(1, -(-len(items) // limit)),
    }
