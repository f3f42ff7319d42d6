"""What is recorded of one attempt. Only these are kept; every figure is made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .vocabulary import FAILURES, ISOLATION, LOADS, PHASES, START_CLASSES, checked

__all__ = ["CaseInfo", "Finding", "Missing", "Sample"]


@dataclass(frozen=True)
class CaseInfo:
    """One way of doing a scenario's work.

    Attributes:
        scenario: what is done.
        contender: who does it.
        start_class: how much had been done before.
        isolation: what keeps it apart, as it says itself.
        probed: what was seen from inside: the namespaces that differ from this machine's.
        unit: of its samples: ``s`` or ``B``.
        note: what a reader must know.
    """

    scenario: str
    contender: str
    start_class: str
    isolation: str
    probed: str = ""
    unit: str = "s"
    note: str = ""

    def __post_init__(self) -> None:
        checked(self.start_class, START_CLASSES, "start class")
        checked(self.isolation, ISOLATION, "isolation class")


@dataclass(frozen=True)
class Sample:
    """One attempt.

    Attributes:
        scenario: what was done.
        contender: who did it.
        start_class: how much had been done before.
        isolation: as declared.
        block: attempts of one block were made side by side: a round, or a burst.
        value: seconds, or bytes; ``None`` if it failed, which counts as more than `limit`.
        limit: the deadline, in seconds.
        load: closed, open, burst or soak.
        rate: attempts a second that were asked for, in an open loop.
        at: seconds since the run began.
        failure: what was wrong.
        detail: what exactly.
        marks: moments by phase, in seconds since `call`, or in an open loop since `intended`.
        extra: other figures, such as bytes moved.
    """

    scenario: str
    contender: str
    start_class: str
    isolation: str
    block: int
    value: float | None
    limit: float = 60.0
    load: str = "closed"
    rate: float | None = None
    at: float = 0.0
    failure: str = ""
    detail: str = ""
    marks: dict[str, float] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked(self.start_class, START_CLASSES, "start class")
        checked(self.isolation, ISOLATION, "isolation class")
        checked(self.load, LOADS, "load")
        if (self.value is None) != bool(self.failure):
            raise ValueError("a sample has either a value or a failure")
        if self.failure:
            checked(self.failure, FAILURES, "failure")
        for phase in self.marks:
            checked(phase, PHASES, "phase")

    @property
    def censored(self) -> float:
        """Its value; infinite if it failed, so that it stays in every quantile."""
        return math.inf if self.value is None else self.value


@dataclass(frozen=True)
class Missing:
    """What was not measured, why, and what to type to have it measured."""

    what: str
    why: str
    fix: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that a reader must know before they believe a figure.

    Attributes:
        kind: such as ``early``, ``stalls``, ``failures``, ``reuse``, ``isolation``, ``leak``.
        scenario: where; empty for the whole run.
        contender: whose.
        text: in words.
    """

    kind: str
    scenario: str
    contender: str
    text: str
