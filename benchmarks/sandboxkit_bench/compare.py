"""Two runs beside each other: what became faster or slower, and whether that is too much."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from .figures import blocks_of
from .results import Results
from .stats import Interval, median, unpaired_interval, verdict
from .tables import table
from .units import factor, quantity

__all__ = ["Change", "changes", "condition", "table_of"]

NAMES = ("ratio", "ratio_low", "ratio_high", "failures", "median")
OPERATORS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


@dataclass(frozen=True)
class Change:
    """A case in two runs.

    Attributes:
        scenario: what is done.
        contender: who does it.
        before: the median in the first run.
        after: the median in the second.
        ratio: the second by the first.
        failures: how many attempts of the second failed.
        unit: of the medians.
    """

    scenario: str
    contender: str
    before: float
    after: float
    ratio: Interval
    failures: int
    unit: str

    def figures(self) -> dict[str, float]:
        """What a condition may name."""
        known = self.ratio.known
        return {
            "ratio": self.ratio.value,
            "ratio_low": self.ratio.low if known else math.nan,
            "ratio_high": self.ratio.high if known else math.nan,
            "failures": float(self.failures),
            "median": self.after,
        }


def changes(base: Results, head: Results) -> list[Change]:
    """The cases that both have.

    Two runs did not take turns, so blocks are drawn in each for itself, and what made the machine
    slower between them looks as if we did.
    """
    found = []
    for case in head.cases:
        old, new = (run.of(case.scenario, case.contender) for run in (base, head))
        if not old or not new:
            continue
        ratio = unpaired_interval(blocks_of(new), blocks_of(old), seed=head.seed)
        before, after = (median([one.censored for one in samples]) for samples in (old, new))
        failures = sum(bool(one.failure) for one in new)
        found.append(
            Change(case.scenario, case.contender, before, after, ratio, failures, case.unit)
        )
    return found


def condition(text: str) -> Callable[[Change], bool]:
    """Read a condition such as ``ratio_low > 1.05``, or several with ``or`` and ``and``.

    A figure that is not known fulfils no comparison.

    Raises:
        ValueError: it is no such condition.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no condition: {error.msg}") from error
    check(tree, text)
    return lambda change: holds(tree, change.figures())


def check(tree: ast.expr, text: str) -> None:
    """Raise ValueError if a condition holds anything but comparisons of figures."""
    if isinstance(tree, ast.BoolOp):
        for one in tree.values:
            check(one, text)
        return
    plain = (
        isinstance(tree, ast.Compare)
        and len(tree.ops) == 1
        and type(tree.ops[0]) in OPERATORS
        and isinstance(tree.left, ast.Name)
        and tree.left.id in NAMES
        and isinstance(tree.comparators[0], ast.Constant)
        and isinstance(tree.comparators[0].value, (int, float))
    )
    if not plain:
        names = ", ".join(NAMES)
        raise ValueError(
            f"{text!r} is no condition: compare one of {names} with a number, as in "
            "'ratio_low > 1.05'"
        )


def holds(tree: ast.expr, figures: dict[str, float]) -> bool:
    """Whether a checked condition is fulfilled."""
    if isinstance(tree, ast.BoolOp):
        found = [holds(one, figures) for one in tree.values]
        return any(found) if isinstance(tree.op, ast.Or) else all(found)
    assert isinstance(tree, ast.Compare)
    assert isinstance(tree.left, ast.Name)
    assert isinstance(tree.comparators[0], ast.Constant)
    bound = tree.comparators[0].value
    assert isinstance(bound, (int, float))
    return OPERATORS[type(tree.ops[0])](figures[tree.left.id], float(bound))


def table_of(found: list[Change]) -> list[str]:
    """All changes, a case a line."""
    lines = []
    for one in found:
        interval = "not enough data"
        if one.ratio.known:
            interval = f"{factor(one.ratio.low)} to {factor(one.ratio.high)}"
        lines.append(
            [
                one.scenario,
                one.contender,
                quantity(one.before, one.unit),
                quantity(one.after, one.unit),
                factor(one.ratio.value) if not math.isnan(one.ratio.value) else "no ratio",
                interval,
                verdict(one.ratio),
                str(one.failures),
            ]
        )
    head = ["scenario", "contender", "before", "after", "ratio", "95 %", "in words", "failed"]
    return table(head, lines)
