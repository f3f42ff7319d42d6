"""What sandboxkit is to reach, and whether a run shows that it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .figures import blocks_of, ratio_of
from .results import Results
from .scenarios import commands, density, load, overhead, starts, state, transfer
from .stats import Interval, difference_interval, median_interval
from .units import factor, quantity

__all__ = ["GOALS", "Goal", "Outcome", "judge"]

MIB = float(1 << 20)
DOCKER_RUN = "docker run --network none"
API, ARCHIVE = "docker exec (API)", "docker archive API"


@dataclass(frozen=True)
class Goal:
    """A bound on a figure.

    Attributes:
        what: in words.
        figure: the figure with its interval; not a number where it was not measured.
        bound: what it is to reach.
        least: whether the bound is a least value; else it is a largest.
        unit: ``x`` for a ratio.
        floor: a bound that is less demanding, and that must be met; ``None`` if there is none.
    """

    what: str
    figure: Callable[[Results], Interval]
    bound: float
    least: bool = True
    unit: str = "x"
    floor: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A goal and what a run says of it."""

    goal: Goal
    figure: Interval
    word: str
    floor_word: str


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


def faster(scenario: str, other: str, suffix: str = "") -> Callable[[Results], Interval]:
    """How many times faster than another ours is, or one of ours with a suffix to its name."""
    return lambda results: ratio_of(
        results, scenario, other, f"{results.reference} {suffix}".rstrip()
    )


def slower(scenario: str, other: str, ours: str = "") -> Callable[[Results], Interval]:
    """How many times slower than another ours is."""
    return lambda results: ratio_of(results, scenario, ours or results.reference, other)


def middle(scenario: str, ours: str = "") -> Callable[[Results], Interval]:
    """The median of ours."""

    def figure(results: Results) -> Interval:
        samples = results.of(scenario, ours or results.reference)
        return median_interval(blocks_of(samples), seed=results.seed) if samples else UNKNOWN

    return figure


def worst(scenario: str, name: str = "") -> Callable[[Results], Interval]:
    """The largest value of ours, or of another figure of its samples; infinite if one failed."""

    def figure(results: Results) -> Interval:
        samples = results.of(scenario, results.reference)
        if not samples:
            return UNKNOWN
        values = [
            one.censored if not name or one.failure else one.extra.get(name, math.nan)
            for one in samples
        ]
        largest = max(values)
        return Interval(largest, largest, largest, len(samples))

    return figure


def round_trips(results: Results) -> Interval:
    """How many round trips a sandbox and its first command take on the longest line."""
    near, far = (
        middle(overhead.overhead_title(one), overhead.US)(results)
        for one in (overhead.ROUND_TRIPS[0], overhead.ROUND_TRIPS[-1])
    )
    long = overhead.ROUND_TRIPS[-1]
    return Interval(
        (far.value - near.value) / long,
        (far.low - near.high) / long,
        (far.high - near.low) / long,
        min(near.blocks, far.blocks),
    )


def processor_time(results: Results) -> Interval:
    """Seconds of processor time that we take more than the vendor's SDK: medians."""
    title = overhead.overhead_title(0.0)
    ours, theirs = (
        {
            one.block: [one.extra["cpu"]]
            for one in results.of(title, name)
            if "cpu" in one.extra and not one.failure
        }
        for name in (overhead.US, overhead.SDK)
    )
    return difference_interval(ours, theirs, seed=results.seed)


def starts_faster(suffix: str) -> list[Goal]:
    """How much faster than others a sandbox and its first answer are to be.

    Args:
        suffix: after the name of ours: one that may stand ready, or one that is made from nothing.
    """
    rivals = (
        ("docker run", starts.START, DOCKER_RUN, 100, 80),
        ("runc", starts.START, "runc run python3 -c", 15, 12),
        ("bubblewrap", starts.START, "bwrap python3 -c", 8, 6),
        ("python3 -c", starts.START, "python3 -c, no sandbox", 4, 3.2),
        ("python3 -c", starts.START_USEFUL, "python3 -c, no sandbox", 100, 84),
    )
    return [
        Goal(
            f"{scenario}{suffix and ' '}{suffix}, faster than {rival}",
            faster(scenario, other, suffix),
            bound,
            floor=floor,
        )
        for rival, scenario, other, bound, floor in rivals
    ]


GOALS = (
    Goal("kill, confirmed, faster than docker rm -f", faster(starts.TEARDOWN, "docker API"), 10),
    *starts_faster(""),
    *starts_faster("(forked)"),
    Goal("a command, faster than docker exec (API)", faster(commands.COMMAND, API), 80, floor=50),
    Goal(
        "a command, slower than subprocess.run",
        slower(commands.COMMAND, "subprocess, no sandbox"),
        1.2,
        least=False,
    ),
    Goal(
        "a command in docker, faster than docker exec (API)",
        lambda results: ratio_of(results, commands.COMMAND, API, "sandboxkit docker"),
        80,
        floor=50,
    ),
    Goal(
        "first streamed byte, faster than docker exec (API)", faster(commands.FIRST_BYTE, API), 50
    ),
    Goal("1 KiB written, faster than the archive API", faster(transfer.WRITE, ARCHIVE), 300),
    Goal("64 MiB up, faster than the archive API", faster(transfer.UP, ARCHIVE), 5, floor=5),
    Goal("64 MiB down, faster than the archive API", faster(transfer.DOWN, ARCHIVE), 5, floor=5),
    Goal(
        "100 MiB of output, faster than docker exec (API)",
        faster(transfer.OUTPUT, API),
        10,
        floor=10,
    ),
    Goal(
        "memory that 100 MiB of output take here",
        worst(transfer.OUTPUT, "memory"),
        16 * MIB,
        least=False,
        unit="B",
    ),
    Goal(
        "cell in a warm context, faster than ipykernel",
        faster(state.CELL, "ipykernel, no sandbox"),
        20,
    ),
    Goal(
        "new context, faster than a new ipykernel",
        faster(state.CONTEXT, "ipykernel, no sandbox"),
        100,
    ),
    Goal(
        "100 at once, all verified",
        worst(load.burst_title(100)),
        0.5,
        least=False,
        unit="s",
        floor=60,
    ),
    Goal("1000 at once, all verified", worst(load.burst_title(1000)), 5, least=False, unit="s"),
    Goal("e2b: create and a command, in round trips", round_trips, 2.1, least=False, unit="1"),
    Goal("e2b: processor time over its own SDK", processor_time, 0.001, least=False, unit="s"),
    Goal("idle memory of a sandbox", middle(density.DENSITY), 1.5 * MIB, least=False, unit="B"),
)
"""Those of the design, with the least that must be shown."""


def holds(figure: Interval, bound: float, least: bool) -> str:
    """In words: met only if the whole interval is on the right side."""
    if math.isnan(figure.value):
        return "not measured"
    if math.isnan(figure.low):
        return "not enough data"
    if (figure.low >= bound) if least else (figure.high <= bound):
        return "met"
    missed = (figure.high < bound) if least else (figure.low > bound)
    return "missed" if missed else "missed (not decided: the bound is within the interval)"


def judge(results: Results) -> list[Outcome]:
    """What a run says of every goal."""
    outcomes = []
    for goal in GOALS:
        figure = goal.figure(results)
        word = holds(figure, goal.bound, goal.least)
        floor = "" if goal.floor is None else holds(figure, goal.floor, goal.least)
        outcomes.append(Outcome(goal, figure, word, floor))
    return outcomes


def shown(value: float, unit: str) -> str:
    """A figure of a goal."""
    if math.isnan(value):
        return "none"
    return factor(value) if unit == "x" else quantity(value, unit)
