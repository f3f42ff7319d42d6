"""A way of doing a scenario's work: what the harness calls, and when."""

from __future__ import annotations

import asyncio

from .samples import CaseInfo
from .trial import Trial

__all__ = ["Case"]


class Case:
    """One contender in one scenario. Only `attempt` is timed.

    Attributes:
        scenario: what is done.
        contender: who does it.
        start_class: how much had been done before.
        isolation: as declared.
        end: the phase at which the clock stops.
        note: what a reader must know.
        every: it takes part in one round out of so many, where it is slow.
        times: so often in each, where it is fast.
        limit: the deadline of one attempt, in seconds.
        probed: what was seen from inside, once something was.
        baseline: it is there to compare with. One that cannot do it even once is missing; what is
            measured itself is not excused so.
        unit: of the samples' values: ``s`` or ``B``.
    """

    scenario: str
    contender: str
    start_class: str = "none"
    isolation: str = "none"
    end: str = "answered"
    note: str = ""
    every: int = 1
    times: int = 1
    limit: float = 60.0
    probed: str = ""
    baseline: bool = True
    unit: str = "s"

    def prepare(self) -> None:
        """Make what all attempts share. May raise: then the case is missing, with the reason."""

    def attempt(self, trial: Trial) -> None:
        """Do the work, with the clock running, and mark the phases."""
        raise NotImplementedError

    async def launch(self, trial: Trial) -> None:
        """The same for many at once; here in a thread of its own."""
        await asyncio.to_thread(self.attempt, trial)

    def verify(self, trial: Trial) -> None:
        """Raise `Fault` if what the attempt brought is wrong."""

    def tidy(self, trial: Trial) -> None:
        """Clean up after an attempt, marking the phases of the end. Raise `Fault` at leaks."""

    def close(self) -> None:
        """Remove what `prepare` made."""

    def info(self) -> CaseInfo:
        """What is told of it in the results."""
        return CaseInfo(
            self.scenario,
            self.contender,
            self.start_class,
            self.isolation,
            self.probed,
            self.unit,
            self.note,
        )
