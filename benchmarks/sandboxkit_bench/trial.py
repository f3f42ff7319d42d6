"""One attempt while it runs: its task, its clock, and what has to be cleaned up after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .challenge import Challenge
from .samples import Sample
from .vocabulary import PHASES, checked

__all__ = ["Fault", "Trial"]


class Fault(Exception):  # noqa: N818  # the word that the tables use
    """What an attempt brought is not what it was to bring.

    Attributes:
        kind: one of the vocabulary's failures.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass
class Trial:
    """The clock of one attempt.

    Attributes:
        challenge: its task.
        number: which attempt of its case it is.
        limit: its deadline, in seconds.
        marks: moments by phase, in nanoseconds of the monotonic clock.
        kept: what the attempt leaves for the checks and the cleaning up.
        extra: other figures.
    """

    challenge: Challenge
    number: int = 0
    limit: float = 60.0
    marks: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    text: str = ""

    def mark(self, phase: str, at: int | None = None) -> None:
        """Note a moment; the first time counts."""
        now = time.monotonic_ns() if at is None else at
        self.marks.setdefault(checked(phase, PHASES, "phase"), now)

    def hear(self, text: str) -> None:
        """Take output as it arrives; a line makes an answer."""
        now = time.monotonic_ns()
        self.mark("first_stdout", now)
        self.text += text
        if "\n" in text:
            self.mark("answered", now)

    def timed(self, work: Callable[[Trial], object]) -> None:
        """Do the work with the clock running."""
        self.mark("call")
        work(self)

    def began(self, clock: int) -> None:
        """Note when the program says that it began, if its clock is ours."""
        if self.marks["call"] <= clock <= self.marks.get("answered", 0):
            self.mark("exec_started", clock)

    def span(self, first: str, last: str) -> float:
        """Seconds from one moment to another."""
        return (self.marks[last] - self.marks[first]) / 1e9

    def relative(self) -> dict[str, float]:
        """The moments in seconds since the first of them."""
        if not self.marks:
            return {}
        start = self.marks.get("intended", self.marks.get("call", min(self.marks.values())))
        ordered = sorted(self.marks, key=PHASES.index)
        return {phase: round((self.marks[phase] - start) / 1e9, 7) for phase in ordered}


def sample_of(trial: Trial, labels: dict[str, Any], end: str, failure: Fault | None) -> Sample:
    """What is kept of an attempt."""
    start = "intended" if "intended" in trial.marks else "call"
    value = None
    if failure is None:
        if end in trial.marks:
            value = trial.span(start, end)
            if value > trial.limit:
                failure, value = Fault("timeout", f"took {value:.1f} s"), None
        else:
            failure = Fault("error", f"it never came to {end!r}")
    return Sample(
        **labels,
        value=value,
        limit=trial.limit,
        failure=failure.kind if failure else "",
        detail=str(failure)[:300] if failure else "",
        marks=trial.relative(),
        extra=trial.extra,
    )
