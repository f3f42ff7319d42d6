"""What a run asks of those who charge for it, told before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .scenario import Scenario
from .settings import Settings, isolation_of

__all__ = ["Estimate", "estimate", "remote"]

LOCAL = ("none", "language", "process", "namespaces", "container")
"""Isolation classes of what runs on this machine or on an engine of one's own."""


@dataclass(frozen=True)
class Estimate:
    """The most that a run can ask for.

    Attributes:
        profiles: whose.
        sandboxes: how many.
        hours: that sandboxes run, together.
    """

    profiles: tuple[str, ...]
    sandboxes: int
    hours: float

    def says(self, price: float | None) -> str:
        """In words; with a price of an hour in the account's currency, what it comes to."""
        text = (
            f"{', '.join(self.profiles)} may charge for this run: up to {self.sandboxes} "
            f"sandboxes, {self.hours:.2f} hours of them together"
        )
        return text if price is None else f"{text}, {self.hours * price:.2f} at {price:g} an hour"


def remote(settings: Settings) -> tuple[str, ...]:
    """The profiles whose sandboxes are elsewhere."""
    return tuple(one for one in settings.profiles if isolation_of(one) not in LOCAL)


def estimate(scenarios: Sequence[Scenario], settings: Settings) -> Estimate | None:
    """What a run asks of remote profiles; ``None`` if it has none."""
    profiles = remote(settings)
    if not profiles:
        return None
    seconds = sum(one.seconds * 2 for one in scenarios)  # a scenario may take twice its time
    sandboxes = sum(one.starts for one in scenarios) * len(profiles)
    # Each runs no longer than its scenario, and beside each start one is kept alive.
    return Estimate(profiles, sandboxes, 2 * seconds * len(profiles) / 3600)
