"""A scenario: some work, and the load under which all contenders do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .case import Case
from .samples import CaseInfo, Finding, Missing, Sample
from .settings import Settings

__all__ = ["Call", "Ran", "Scenario"]


@dataclass
class Ran:
    """What came of a scenario."""

    samples: list[Sample] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cases: list[CaseInfo] = field(default_factory=list)

    def add(self, other: Ran) -> None:
        """Take over what came of another one."""
        self.samples += other.samples
        self.missing += other.missing
        self.findings += other.findings
        self.cases += other.cases

    def tell(self, cases: list[Case]) -> None:
        """Take over what is known of these cases."""
        self.cases += [case.info() for case in cases]


def _nobody(share: float) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Call:
    """How a scenario is to run now.

    Attributes:
        settings: the run's.
        seed: of the order, the tasks and the times.
        began: when the run began, in seconds of the monotonic clock.
        seconds: how long it may take, about.
        rounds: how many rounds at most.
        tell: is told which share is done.
    """

    settings: Settings
    seed: int
    began: float
    seconds: float
    rounds: int
    tell: Callable[[float], None] = _nobody


@dataclass(frozen=True)
class Scenario:
    """One entry of the catalogue.

    Attributes:
        key: the word by which it is chosen.
        title: what is done.
        play: does it.
        seconds: how long it may take in a run of the usual length.
        rounds: how many rounds at most, in such a run.
        starts: how many sandboxes of one profile it asks for at most, in such a run.
    """

    key: str
    title: str
    play: Callable[[Call], Ran]
    seconds: float = 20.0
    rounds: int = 60
    starts: int = 2

    def scaled(self, factor: float) -> Scenario:
        """The same, for a run that is shorter or longer."""
        rounds = max(1, round(self.rounds * factor))
        starts = max(2, round(self.starts * factor))
        return replace(self, seconds=self.seconds * factor, rounds=rounds, starts=starts)
