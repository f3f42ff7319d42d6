"""A whole run: the scenarios one after the other, with progress and the machine beside."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import sandboxkit

from . import FORMAT
from .absent import absent
from .audit import Census, containers_left
from .findings import left_over, observed
from .machine import describe, floor
from .results import Results
from .scenario import Call, Scenario
from .settings import Settings

__all__ = ["Progress", "run"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        scenario: what is measured now.
        share: of the whole run that is done.
        left: seconds that remain, about.
    """

    scenario: str
    share: float
    left: float


def _silent(progress: Progress) -> None:
    """Nobody looks."""


OVER = 1.2
"""A run may take so many times as long as its scenarios ask for; then the rest is shortened."""

LEAST = 0.15
"""To no less than this share of its time."""


def hurried(scenario: Scenario, asked: float, left: float) -> Scenario:
    """The scenario as it was, or with less time if what is left is less than what is asked for.

    Args:
        scenario: the next.
        asked: seconds that it and all after it ask for.
        left: seconds that the whole run has left.
    """
    share = left / asked if asked else 1.0
    return (
        scenario if share >= 1 else replace(scenario, seconds=scenario.seconds * max(LEAST, share))
    )


def left(nominal: float, done: float, spent: float) -> float:
    """Seconds that remain: as they were asked for, by how it went so far."""
    return nominal * (max(1.0, spent / done) if done > 5 else 1.0)


def run(
    scenarios: Sequence[Scenario],
    settings: Settings,
    *,
    seed: int | None = None,
    show: Callable[[Progress], None] = _silent,
) -> Results:
    """Run scenarios.

    Args:
        scenarios: which.
        settings: with what.
        seed: of everything that is drawn; drawn itself if not given, and told in the results.
        show: is told of progress.
    """
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    began = time.monotonic()
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    whole = sum(one.seconds for one in scenarios) or 1.0
    results = Results(
        FORMAT, sandboxkit.__version__, started, 0.0, seed, f"sandboxkit {settings.profiles[0]}"
    )
    results.missing += absent()
    show(Progress("the machine itself", 0.0, whole))
    results.floor = floor()
    results.machine = describe()
    before, done = Census.take(), 0.0
    start = time.monotonic()
    for number, scenario in enumerate(scenarios):

        def tell(share: float, one: Scenario = scenario, already: float = done) -> None:
            now = already + one.seconds * min(1.0, share)
            show(Progress(one.title, now / whole, left(whole - now, now, time.monotonic() - start)))

        tell(0.0)
        one = hurried(scenario, whole - done, whole * OVER - (time.monotonic() - start))
        call = Call(settings, seed + number, began, one.seconds, one.rounds, tell)
        ran = scenario.play(call)
        results.cases += ran.cases
        results.samples += ran.samples
        results.missing += ran.missing
        results.findings += ran.findings
        done += scenario.seconds
    for name, values in floor().items():
        results.floor[name] += values
    results.findings += left_over(settings) + containers_left(settings) + observed(results)
    results.findings += Census.take().since(before)
    results.seconds = round(time.monotonic() - began, 1)
    return results
