"""All scenarios, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable

from .case import Case
from .closed import run_closed
from .scenario import Call, Ran, Scenario
from .scenarios import starts
from .settings import Settings

__all__ = ["CATALOGUE", "chosen"]


def closed(make: Callable[[Settings], list[Case]]) -> Callable[[Call], Ran]:
    """One attempt after the other."""

    def play(call: Call) -> Ran:
        return run_closed(make(call.settings), call)

    return play


CATALOGUE = (Scenario("start", starts.START, closed(starts.bare), seconds=70, rounds=40),)


def chosen(keys: tuple[str, ...]) -> list[Scenario]:
    """The scenarios of these keys; all if there are none.

    Raises:
        ValueError: there is no such scenario.
    """
    known = {one.key: one for one in CATALOGUE}
    for key in keys:
        if key not in known:
            raise ValueError(f"there is no scenario {key!r}: use one of {', '.join(known)}")
    return [one for one in CATALOGUE if not keys or one.key in keys]
