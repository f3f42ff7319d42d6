"""All scenarios, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable

from .case import Case
from .closed import run_closed
from .scenario import Call, Ran, Scenario
from .scenarios import commands, density, load, overhead, starts, state, transfer
from .settings import Settings

__all__ = ["CATALOGUE", "chosen"]


def closed(make: Callable[[Settings], list[Case]]) -> Callable[[Call], Ran]:
    """One attempt after the other."""

    def play(call: Call) -> Ran:
        return run_closed(make(call.settings), call)

    return play


def start(call: Call) -> Ran:
    """Starts, and their ends."""
    ran = run_closed(starts.bare(call.settings), call)
    ran.add(starts.teardown(ran))
    return ran


CATALOGUE = (
    Scenario("start", f"{starts.START}, and the end", start, 50, 80, starts=170),
    Scenario("useful", starts.START_USEFUL, closed(starts.useful), 40, 30, starts=35),
    Scenario("ready", starts.READY, closed(starts.ready), 6, 60, starts=65),
    Scenario("restore", starts.RESTORE, closed(starts.restored), 10, 60, starts=65),
    Scenario("command", commands.COMMAND, closed(commands.commands), 18, 100),
    Scenario("stream", commands.FIRST_BYTE, closed(commands.first_bytes), 18, 60),
    Scenario("small", f"{transfer.WRITE}, {transfer.READ}", closed(transfer.small), 15, 100),
    Scenario("large", f"{transfer.UP}, {transfer.DOWN}", closed(transfer.large), 32, 20),
    Scenario("output", transfer.OUTPUT, closed(transfer.output), 28, 15),
    Scenario("terminal", commands.ECHO, closed(commands.echoes), 5, 200),
    Scenario("port", commands.PORT, closed(commands.ports), 5, 100),
    Scenario("cell", state.CELL, closed(state.cells), 10, 100),
    Scenario("context", state.CONTEXT, closed(state.contexts), 30, 30),
    Scenario("burst10", load.burst_title(10), load.burst(10, 8), 20, starts=90),
    Scenario("burst100", load.burst_title(100), load.burst(100, 2), 12, starts=205),
    Scenario("burst1000", load.burst_title(1000), load.burst(1000, 1), 35, starts=1005),
    Scenario("ramp", load.RAMP, load.ramp, 30, starts=1500),
    Scenario("density", density.DENSITY, density.density, 15, starts=55),
    Scenario("overhead", "create and a command on e2b's wire", overhead.overhead, 20, 40),
    Scenario("soak", load.SOAK, load.soak, 10, starts=1000),
    Scenario(
        "state",
        f"{state.SNAPSHOT}, {state.FORK}, {state.PAUSE}",
        closed(state.states),
        15,
        40,
        starts=45,
    ),
)


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
