"""Reads the arguments of an operation; what is wrong with them is the caller's `bad_request`."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional

from .errors import BAD_REQUEST, OpError

Arguments = Mapping[str, Any]


def bad(message: str) -> OpError:
    """A `bad_request` error to raise."""
    return OpError(BAD_REQUEST, message)


def text(args: Arguments, name: str, default: Optional[str] = None) -> str:
    """A string without NUL; required if there is no default.

    Raises:
        OpError: ``bad_request``.
    """
    value = args.get(name)
    if value is None and default is not None:
        return default
    return _clean(value, name)


def optional_text(args: Arguments, name: str) -> Optional[str]:
    """A string without NUL, or ``None``."""
    value = args.get(name)
    return None if value is None else _clean(value, name)


def path(args: Arguments, name: str = "path") -> str:
    """An absolute path."""
    value = text(args, name)
    if not value.startswith("/"):
        raise bad(f"{name!r} must be an absolute path")
    return value


def flag(args: Arguments, name: str, default: bool = False) -> bool:
    """A boolean."""
    value = args.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad(f"{name!r} must be true or false")
    return value


def integer(
    args: Arguments, name: str, default: Optional[int] = None, *, least: int = 0
) -> Optional[int]:
    """A whole number of at least `least`, below 2**63."""
    value = args.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise bad(f"{name!r} must be a whole number from {least}")
    return value


def needed_integer(args: Arguments, name: str, *, least: int = 0) -> int:
    """As `integer`, but it must be there."""
    value = integer(args, name, least=least)
    if value is None:
        raise bad(f"{name!r} is missing")
    return value


def seconds(args: Arguments, name: str, default: Optional[float] = None) -> Optional[float]:
    """A finite number of seconds, not negative."""
    value = args.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad(f"{name!r} must be a number of seconds")
    if not math.isfinite(value) or not 0 <= value < 1e12:
        raise bad(f"{name!r} must be a number of seconds from 0")
    return float(value)


def strings(args: Arguments, name: str) -> List[str]:
    """A list of strings without NUL, at least one."""
    value = args.get(name)
    if not isinstance(value, list) or not value:
        raise bad(f"{name!r} must be a list of strings, not empty")
    return [_clean(item, name) for item in value]


def environment(args: Arguments, name: str = "env") -> Dict[str, str]:
    """A mapping of variable names to values."""
    value = args.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"{name!r} must map names to values")
    for key, item in value.items():
        _clean(item, name)
        if not _clean(key, name) or "=" in key:
            raise bad(f"{key!r} cannot be the name of a variable")
    return value


def _clean(value: object, name: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise bad(f"{name!r} must be a string without NUL")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise bad(f"{name!r} is not text that can be encoded") from None
    return value
