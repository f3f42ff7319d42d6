"""The closed load: attempts one after the other, the contenders of each round in random order."""

from __future__ import annotations

import gc
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from subprocess import TimeoutExpired
from typing import Any

from sandboxkit import SandboxError

from .case import Case
from .challenge import Challenge
from .samples import Missing, Sample
from .scenario import Call, Ran
from .trial import Fault, Trial, sample_of

__all__ = ["attempt_once", "fault_of", "labels_of", "opened", "run_closed"]

FEWEST = 8
"""Rounds that are made even if the time is over, unless twice the time is over."""


def fault_of(error: Exception) -> Fault:
    """What an exception makes of an attempt."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, (TimeoutError, TimeoutExpired)):
        return Fault("timeout", str(error) or type(error).__name__)
    kind = "verify" if isinstance(error, (ValueError, AssertionError)) else "error"
    return Fault(kind, f"{type(error).__name__}: {error}")


EXPECTED = (Fault, SandboxError, OSError, ValueError, AssertionError, TimeoutExpired, RuntimeError)
"""What an attempt may raise; all else is a mistake of ours and ends the run."""


def labels_of(case: Case, block: int, began: float, **more: Any) -> dict[str, Any]:
    return {
        "scenario": case.scenario,
        "contender": case.contender,
        "start_class": case.start_class,
        "isolation": case.isolation,
        "block": block,
        "at": round(time.monotonic() - began, 3),
        **more,
    }


def settle(case: Case, trial: Trial, failure: Fault | None) -> Fault | None:
    """Check an attempt and clean up after it; what was wrong first counts."""
    for step in (case.verify, case.tidy) if failure is None else (case.tidy,):
        try:
            step(trial)
        except EXPECTED as error:
            failure = failure or fault_of(error)
    return failure


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let a call that hangs end in a TimeoutError. In the main thread only."""

    def over(number: int, frame: object) -> None:
        raise TimeoutError(f"nothing after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt_once(case: Case, trial: Trial, block: int, began: float) -> Sample:
    """One attempt with everything around it."""
    failure: Fault | None = None
    trial.limit = case.limit
    gc.disable()  # ours must not be in the figures
    try:
        with deadline(case.limit):
            trial.timed(case.attempt)
    except EXPECTED as error:
        failure = fault_of(error)
    finally:
        gc.enable()
    labels = labels_of(case, block, began)
    return sample_of(trial, labels, case.end, settle(case, trial, failure))


def opened(cases: Sequence[Case], missing: list[Missing]) -> list[Case]:
    """Those that could be prepared and do one attempt that does not count."""
    ready = []
    for case in cases:
        try:
            case.prepare()
            if case.baseline:
                first = attempt_once(case, Trial(Challenge.new(random.Random()), -9), 0, 0.0)
                if first.failure:
                    raise Fault(first.failure, first.detail)
        except EXPECTED as error:
            missing.append(Missing(f"{case.scenario}: {case.contender}", str(error)[:300]))
            case.close()
            continue
        ready.append(case)
    return ready


def order(ready: Sequence[Case], number: int, drawing: random.Random) -> list[Case]:
    """Who plays in a round, in random order; the fast ones several times."""
    playing = [
        case
        for case in ready
        if number < 0 or number % case.every == 0
        for _ in range(case.times if number >= 0 else 1)
    ]
    drawing.shuffle(playing)
    return playing


def run_closed(cases: Sequence[Case], call: Call, *, warm_up: int = 1) -> Ran:
    """Run rounds until there are enough or the time is over.

    Args:
        cases: the contenders of one scenario.
        call: how many rounds at most, and after how many seconds no new one begins if there are
            `FEWEST`.
        warm_up: rounds that are not kept.
    """
    drawing = random.Random(call.seed)
    ran = Ran()
    ready = opened(cases, ran.missing)
    start = time.monotonic()
    attempts = 0
    try:
        for number in range(-warm_up, call.rounds):
            if number <= 0:
                start = time.monotonic()  # rounds that are not kept take nothing from the others
            spent = time.monotonic() - start
            if number > 0 and spent > call.seconds * (1 if number >= FEWEST else 2):
                break
            call.tell(max(number / call.rounds, spent / call.seconds, 0.0))
            for case in order(ready, number, drawing):
                attempts += 1
                trial = Trial(Challenge.new(drawing), attempts)
                sample = attempt_once(case, trial, number, call.began)
                if number >= 0:
                    ran.samples.append(sample)
    finally:
        for case in ready:
            case.close()
    ran.tell(ready)
    return ran
