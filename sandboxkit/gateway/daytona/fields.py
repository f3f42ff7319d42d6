"""What clients send, taken for what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..refusal import Refusal
from .faults import fault

__all__ = ["flag", "number", "pairs", "query_flag", "text", "texts", "whole"]

Body = Mapping[str, Any]


def _wrong(name: str, what: str) -> Refusal:
    return fault(400, f"{name} is not {what}", "INVALID_REQUEST_BODY")


def text(body: Body, name: str, default: str | None = None) -> str | None:
    """A text.

    Raises:
        Refusal: it is none.
    """
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(name, "text")
    return value


def whole(body: Body, name: str) -> str:
    """A text that must be there, and not empty.

    Raises:
        Refusal: it is not.
    """
    value = text(body, name)
    if not value:
        raise _wrong(name, "there")
    return value


def number(body: Body, name: str) -> int | None:
    """A whole number from 0 to two thousand million.

    Raises:
        Refusal: it is none.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise _wrong(name, "a whole number")
    return value


def flag(body: Body, name: str) -> bool:
    """True or false; false where it is missing.

    Raises:
        Refusal: it is neither.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return bool(value)


def query_flag(query: Mapping[str, str], name: str) -> bool:
    """True or false, as a query has it."""
    return query.get(name, "").lower() in ("true", "1")


def texts(body: Body, name: str) -> list[str]:
    """A list of texts.

    Raises:
        Refusal: it is none.
    """
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(name, "a list of texts")
    return value


def pairs(body: Body, name: str) -> dict[str, str]:
    """Names and texts.

    Raises:
        Refusal: they are none.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _wrong(name, "names and texts")
    return dict(value)
