"""Reading fields of a guest's JSON. The guest is hostile: every value is checked as it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ProtocolError

__all__ = ["Fields", "boolean", "integer", "items", "number", "text"]

Fields = Mapping[str, Any]

MAX_INTEGER = 2**63 - 1


def integer(fields: Fields, name: str, low: int = 0, high: int = MAX_INTEGER) -> int:
    """The integer called `name`, from `low` to `high`.

    Raises:
        ProtocolError: it is missing or anything else.
    """
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise _wrong(name, value)
    return value


def number(fields: Fields, name: str) -> float:
    """The finite number called `name`.

    Raises:
        ProtocolError: it is missing or anything else.
    """
    value = fields.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -1e15 < value < 1e15:
        raise _wrong(name, value)
    return float(value)


def boolean(fields: Fields, name: str) -> bool:
    """The truth value called `name`; false if it is missing.

    Raises:
        ProtocolError: it is anything else.
    """
    value = fields.get(name, False)
    if type(value) is not bool:
        raise _wrong(name, value)
    return value


def text(fields: Fields, name: str) -> str:
    """The string called `name`.

    Raises:
        ProtocolError: it is missing or anything else.
    """
    value = fields.get(name)
    if type(value) is not str:
        raise _wrong(name, value)
    return value


def items(fields: Fields, name: str) -> list[Fields]:
    """The list of objects called `name`.

    Raises:
        ProtocolError: it is missing or anything else.
    """
    value = fields.get(name)
    if type(value) is not list or not all(type(item) is dict for item in value):
        raise _wrong(name, value)
    return value


def _wrong(name: str, value: object) -> ProtocolError:
    return ProtocolError(f"the guest sent {name!r} as {value!r:.80}")
