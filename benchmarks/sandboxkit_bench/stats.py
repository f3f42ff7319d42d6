"""Quantiles that keep failures, and intervals on ratios.

The unit that is drawn anew is the block: what ran side by side stays together, so that a minute in
which the machine was busy weighs on both. Everything is seeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "ENOUGH",
    "Interval",
    "difference_interval",
    "median",
    "median_interval",
    "percentile",
    "quantile",
    "ratio_interval",
    "unpaired_interval",
    "verdict",
    "wilson",
]

ENOUGH = 8
"""Blocks below which no interval is given: with fewer they are far too narrow."""

TAIL = 3
"""Samples that must lie beyond a percentile for it to be told."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval; not finite where the data do not allow one."""

    value: float
    low: float
    high: float
    blocks: int

    @property
    def known(self) -> bool:
        return self.blocks >= ENOUGH and not math.isnan(self.low)


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` lies; nearest rank, so that infinity stays itself."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Sequence[float], percent: float) -> float | None:
    """A percentile over all attempts, or ``None`` where too few lie beyond it to tell."""
    if percent == 50.0:
        return median(values) if values else None
    if len(values) * (1 - percent / 100) < TAIL - 1e-9:
        return None
    return quantile(values, percent / 100)


def wilson(successes: int, attempts: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share of successes."""
    if not attempts:
        return 0.0, 1.0
    share, z2 = successes / attempts, z * z
    middle = (share + z2 / (2 * attempts)) / (1 + z2 / attempts)
    half = (
        z
        / (1 + z2 / attempts)
        * math.sqrt(share * (1 - share) / attempts + z2 / (4 * attempts * attempts))
    )
    return max(0.0, middle - half), min(1.0, middle + half)


Blocks = Mapping[int, Sequence[float]]


def ratio_interval(
    above: Blocks, below: Blocks, *, q: float = 0.5, seed: int = 1, resamples: int = RESAMPLES
) -> Interval:
    """How many times larger one's quantile is than the other's, over blocks that both were in.

    Args:
        above: values by block, infinite where an attempt failed.
        below: likewise.
        q: which quantile; 0.5 is the median.
        seed: of the drawing.
        resamples: how often blocks are drawn anew.
    """
    shared = sorted(above.keys() & below.keys())
    if not shared:
        return Interval(math.nan, math.nan, math.nan, 0)
    drawing = random.Random(seed)
    pairs = [(above[block], below[block]) for block in shared]
    ratios = [
        _ratio(drawing.choices(pairs, k=len(pairs)), q)
        for _ in range(resamples if len(pairs) >= ENOUGH else 0)
    ]
    low, high = _bounds(ratios)
    return Interval(_ratio(pairs, q), low, high, len(shared))


def difference_interval(
    above: Blocks, below: Blocks, *, seed: int = 1, resamples: int = RESAMPLES
) -> Interval:
    """By how much one's median is above the other's, over blocks that both were in."""
    shared = sorted(above.keys() & below.keys())
    if not shared:
        return Interval(math.nan, math.nan, math.nan, 0)
    drawing = random.Random(seed)
    pairs = [(above[block], below[block]) for block in shared]

    def difference(drawn: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
        return median(_flat([one for one, _ in drawn])) - median(_flat([two for _, two in drawn]))

    enough = resamples if len(pairs) >= ENOUGH else 0
    low, high = _bounds([difference(drawing.choices(pairs, k=len(pairs))) for _ in range(enough)])
    return Interval(difference(pairs), low, high, len(pairs))


def unpaired_interval(
    above: Blocks, below: Blocks, *, seed: int = 1, resamples: int = RESAMPLES
) -> Interval:
    """As `ratio_interval` of medians, where the two sides had no blocks together: two runs."""
    ours, theirs = list(above.values()), list(below.values())
    drawing = random.Random(seed)

    def ratio(one: list[Sequence[float]], other: list[Sequence[float]]) -> float:
        return _ratio([(_flat(one), _flat(other))], 0.5)

    fewest = min(len(ours), len(theirs))
    drawn = [
        ratio(drawing.choices(ours, k=len(ours)), drawing.choices(theirs, k=len(theirs)))
        for _ in range(resamples if fewest >= ENOUGH else 0)
    ]
    low, high = _bounds(drawn)
    return Interval(ratio(ours, theirs), low, high, fewest)


def median_interval(blocks: Blocks, *, seed: int = 1, resamples: int = RESAMPLES) -> Interval:
    """The median of all values, and its interval."""
    units = list(blocks.values())
    if not units:
        return Interval(math.nan, math.nan, math.nan, 0)
    drawing = random.Random(seed)
    medians = [
        median(_flat(drawing.choices(units, k=len(units))))
        for _ in range(resamples if len(units) >= ENOUGH else 0)
    ]
    low, high = _bounds(medians)
    return Interval(median(_flat(units)), low, high, len(units))


def _flat(units: Sequence[Sequence[float]]) -> list[float]:
    return [value for unit in units for value in unit]


def _middle(values: list[float], q: float) -> float:
    return median(values) if q == 0.5 else quantile(values, q)


def _ratio(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], q: float) -> float:
    above = _middle([value for pair in pairs for value in pair[0]], q)
    below = _middle([value for pair in pairs for value in pair[1]], q)
    if math.isinf(below):
        return math.nan if math.isinf(above) else 0.0
    return above / below if below else math.nan


def _bounds(drawn: list[float]) -> tuple[float, float]:
    if not drawn or any(math.isnan(value) for value in drawn):
        return math.nan, math.nan
    ordered = sorted(drawn)
    last = len(ordered) - 1
    return ordered[round(0.025 * last)], ordered[round(0.975 * last)]


NEAR = 1.15
"""An interval that is within this factor of 1 on both sides says that two are equal."""


def verdict(ratio: Interval) -> str:
    """In words, what a ratio of two medians shows."""
    if not ratio.known:
        return "not enough data"
    if ratio.low > 1:
        return "slower"
    if ratio.high < 1:
        return "faster"
    tied = ratio.low >= 1 / NEAR and ratio.high <= NEAR
    return "tied" if tied else "not enough data"
