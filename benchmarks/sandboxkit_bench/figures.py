"""The figures of a report, made from samples alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .results import Results
from .samples import CaseInfo, Sample
from .scenarios import commands, starts, state, transfer
from .stats import (
    Blocks,
    Interval,
    median,
    median_interval,
    percentile,
    ratio_interval,
    verdict,
    wilson,
)

__all__ = ["Row", "blocks_of", "floor_of", "ratio_of", "rows"]


FLOORS = {
    starts.START: "fork with all namespaces new, and wait",
    starts.READY: "fork with all namespaces new, and wait",
    starts.RESTORE: "fork with all namespaces new, and wait",
    commands.COMMAND: "spawn of /bin/true",
    commands.FIRST_BYTE: "spawn of /bin/true",
    commands.ECHO: "round trip, unix socket",
    commands.PORT: "round trip, loopback TCP",
    transfer.WRITE: "round trip, unix socket",
    transfer.READ: "round trip, unix socket",
    state.CELL: "round trip, unix socket",
}
"""What of the machine's own times a scenario's figures are told as multiples of."""


def floor_of(results: Results, scenario: str) -> tuple[str, float] | None:
    """What the machine itself takes for the least of a scenario, and how long: the median."""
    name = FLOORS.get(scenario, "")
    values = results.floor.get(name)
    return (name, median(values)) if values else None


@dataclass(frozen=True)
class Row:
    """One case in figures. Failed attempts count as infinite in each.

    Attributes:
        case: whose.
        attempts: how many.
        failures: how many of them failed, by kind.
        success: the 95 % interval of the share that succeeds.
        best: the least value.
        middle: the median, with its interval.
        p95: the 95th percentile, if there are samples enough.
        p99: likewise.
        ratio: how many times larger the median is than the reference's.
        word: what the ratio shows.
    """

    case: CaseInfo
    attempts: int
    failures: dict[str, int]
    success: tuple[float, float]
    best: float
    middle: Interval
    p95: float | None
    p99: float | None
    ratio: Interval | None
    ratio95: Interval | None
    word: str


def blocks_of(samples: list[Sample]) -> Blocks:
    """Values by block, failures infinite."""
    found: dict[int, list[float]] = {}
    for sample in samples:
        found.setdefault(sample.block, []).append(sample.censored)
    return found


def ratio_of(results: Results, scenario: str, above: str, below: str, q: float = 0.5) -> Interval:
    """How many times larger one contender's median (or other quantile) is than another's."""
    return ratio_interval(
        blocks_of(results.of(scenario, above)),
        blocks_of(results.of(scenario, below)),
        q=q,
        seed=results.seed,
    )


def reference_of(results: Results, scenario: str) -> str:
    """The contender that the others of a scenario are compared with: ours if it is there."""
    names = [one.contender for one in results.cases if one.scenario == scenario]
    return results.reference if results.reference in names else names[0]


def row(results: Results, case: CaseInfo) -> Row:
    """The figures of a case."""
    samples = results.of(case.scenario, case.contender)
    values = [one.censored for one in samples]
    failures: dict[str, int] = {}
    for one in samples:
        if one.failure:
            failures[one.failure] = failures.get(one.failure, 0) + 1
    reference = reference_of(results, case.scenario)
    ratio = ratio95 = None
    if case.contender != reference:
        ratio = ratio_of(results, case.scenario, case.contender, reference)
        ratio95 = ratio_of(results, case.scenario, case.contender, reference, 0.95)
    return Row(
        case=case,
        attempts=len(samples),
        failures=failures,
        success=wilson(len(samples) - sum(failures.values()), len(samples)),
        best=min(values, default=math.nan),
        middle=median_interval(blocks_of(samples), seed=results.seed),
        p95=percentile(values, 95),
        p99=percentile(values, 99),
        ratio=ratio,
        ratio95=ratio95,
        word=verdict(ratio) if ratio else "reference",
    )


def rows(results: Results, scenario: str) -> list[Row]:
    """All cases of a scenario, the fastest first."""
    found = [row(results, case) for case in results.cases if case.scenario == scenario]
    return sorted(found, key=lambda one: one.middle.value)
