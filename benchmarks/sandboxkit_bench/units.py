"""Figures in words."""

from __future__ import annotations

import math

__all__ = ["factor", "quantity"]

TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
CROSS = "\N{MULTIPLICATION SIGN}"
SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def _three(value: float) -> str:
    """Three figures that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def quantity(value: float, unit: str) -> str:
    """A time in seconds, a size in bytes, or a rate, with the unit that fits.

    What is infinite is more than any deadline: so many attempts failed.
    """
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "failed"
    if unit in ("s", "B"):
        for step, name in TIMES if unit == "s" else SIZES:
            if abs(value) >= step:
                return f"{_three(value / step)} {name}"
        return f"{value * 1e9:.0f} ns" if unit == "s" else f"{value:.0f} B"
    return _three(value) if unit == "1" else f"{_three(value)} {unit}"


def factor(value: float) -> str:
    """How many times."""
    return "∞" if math.isinf(value) else f"{_three(value)}{CROSS}"
