"""Clients' messages, read with suspicion: every field is of the type it must have."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from .connect import ConnectError

__all__ = ["content", "flag", "mapping", "number", "pairs", "text", "texts"]

Message = Mapping[str, Any]


def _wrong(name: str, kind: str) -> ConnectError:
    return ConnectError("invalid_argument", f"{name} is not {kind}")


def text(message: Message, name: str, default: str | None = None) -> str | None:
    """A field of text."""
    value = message.get(name, default)
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "text")
    return value


def flag(message: Message, name: str, *, default: bool = False) -> bool:
    """A field that is true or false."""
    value = message.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def number(message: Message, name: str, default: int = 0) -> int:
    """A field with a whole number; JSON has large ones as text."""
    value = message.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(name, "a number")
    return value


def texts(message: Message, name: str) -> list[str]:
    """A field with a list of text."""
    value = message.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, "a list of text")
    return value


def pairs(message: Message, name: str) -> dict[str, str]:
    """A field with names and values."""
    value = mapping(message, name)
    if not all(isinstance(item, str) for item in value.values()):
        raise _wrong(name, "names and texts")
    return dict(value)


def mapping(message: Message, name: str) -> dict[str, Any]:
    """A field with a message in it; an empty one if it is absent."""
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object")
    return value


def content(message: Message, name: str) -> bytes:
    """A field of bytes, which JSON has in base64."""
    value = message.get(name, "")
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _wrong(name, "base64") from None
