"""Durations and sizes as people write them."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

from .errors import InvalidRequestError

__all__ = ["Duration", "Size", "format_size", "parse_duration", "parse_size"]

Duration = float | int | timedelta | str
"""Seconds, a `timedelta`, or text such as ``"90s"``, ``"10m"``, ``"1h30m"``."""

Size = int | str
"""Bytes, or text such as ``"64KiB"``, ``"2GiB"``, ``"5GB"``."""

LONGEST = 10 * 366 * 86400.0
"""Seconds; what is meant to last longer has no end."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BYTES = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _BYTES[f"{_letter}B"] = 1000**_power
    _BYTES[f"{_letter}iB"] = 1024**_power
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B|)")


def parse_duration(value: Any, name: str = "duration") -> float:
    """Turn a `Duration` into seconds.

    Raises:
        InvalidRequestError: it is negative, not finite, or not readable.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _duration_text(value, name)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{name} must be a duration, not {value!r}")
    else:
        seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidRequestError(f"{name} must be zero or more seconds, not {value!r}")
    if seconds > LONGEST:
        raise InvalidRequestError(f"{name} {value!r} is longer than ten years; None is no limit")
    return seconds


def _duration_text(text: str, name: str) -> float:
    compact = text.strip().replace(" ", "")
    parts = _DURATION_PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise InvalidRequestError(
            f'{name} {text!r} is not a duration; write seconds or "90s", "10m", "1h30m"'
        )
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(value: Any, name: str = "size") -> int:
    """Turn a `Size` into bytes.

    Raises:
        InvalidRequestError: it is negative or not readable.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if not found:
            raise InvalidRequestError(
                f'{name} {value!r} is not a size; write bytes or "64KiB", "2GiB"'
            )
        return round(float(found[1]) * _BYTES[found[2]])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequestError(f"{name} must be zero or more bytes, not {value!r}")
    return value


def format_size(count: int) -> str:
    """A size for people to read: ``1536`` is ``"1.5 KiB"``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
