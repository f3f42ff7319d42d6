"""Open loops, bursts, and what is made of an attempt: with cases whose times are known."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from sandboxkit.errors import SandboxError
from sandboxkit_bench.case import Case
from sandboxkit_bench.challenge import Challenge
from sandboxkit_bench.closed import run_closed
from sandboxkit_bench.probe import Inside, check_isolation, check_new, own
from sandboxkit_bench.scenario import Call
from sandboxkit_bench.scenarios.load import paced, volley
from sandboxkit_bench.settings import Settings
from sandboxkit_bench.stats import median
from sandboxkit_bench.trial import Fault, Trial

SERVICE = 0.04


def a_call(rounds: int = 10, seconds: float = 5.0) -> Call:
    return Call(
        Settings(("local",)), seed=3, began=time.monotonic(), seconds=seconds, rounds=rounds
    )


class OneAtATime(Case):
    """Serves one at a time, so that at a higher rate the others queue."""

    scenario, contender = "load", "one at a time"

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def launch(self, trial: Trial) -> None:
        async with self._turn:
            await asyncio.sleep(SERVICE)
        trial.mark("answered")


def test_an_open_loop_counts_the_time_in_the_queue() -> None:
    samples = asyncio.run(paced(OneAtATime(), a_call(), rate=50, seconds=0.5, block=0))
    assert len(samples) > 10
    assert {one.load for one in samples} == {"open"}
    assert max(one.censored for one in samples) > 4 * SERVICE, "twice the capacity was asked for"
    assert median([one.censored for one in samples]) > 2 * SERVICE


def test_a_burst_is_timed_from_one_moment() -> None:
    samples = asyncio.run(volley(OneAtATime(), a_call(), 8, block=0))
    values = sorted(one.censored for one in samples)
    assert values[-1] >= 8 * SERVICE
    assert values[0] >= SERVICE


class Scripted(Case):
    """Does what is written for each attempt."""

    scenario = "closed"

    def __init__(self, name: str, *script: Exception | float | None) -> None:
        self.contender, self._script, self._tidied = name, list(script), 0
        self.baseline = False

    def attempt(self, trial: Trial) -> None:
        what = self._script.pop(0) if self._script else 0.001
        if isinstance(what, Exception):
            raise what
        if what is not None:
            trial.mark("answered", trial.marks["call"] + round(what * 1e9))

    def tidy(self, trial: Trial) -> None:
        self._tidied += 1


def test_each_failure_is_kept_with_its_kind() -> None:
    case = Scripted(
        "failing", 0.001, Fault("verify", "wrong"), SandboxError("down"), TimeoutError(), None, 99.0
    )
    ran = run_closed([case], a_call(rounds=5))
    kinds = [one.failure for one in ran.samples]
    assert kinds == ["verify", "error", "timeout", "error", "timeout"]
    assert all(math.isinf(one.censored) for one in ran.samples)
    assert case._tidied == 6, "what failed is cleaned up as well"


def test_a_mistake_in_the_suite_ends_the_run() -> None:
    with pytest.raises(TypeError):
        run_closed([Scripted("broken", TypeError("ours"))], a_call())


def test_a_call_that_hangs_is_a_timeout() -> None:
    class Hanging(Case):
        scenario, contender, limit, baseline = "closed", "hanging", 0.2, False

        def attempt(self, trial: Trial) -> None:
            time.sleep(5)

    began = time.monotonic()
    ran = run_closed([Hanging()], a_call(rounds=1))
    assert [one.failure for one in ran.samples] == ["timeout"]
    assert time.monotonic() - began < 3


def test_a_baseline_that_cannot_do_it_once_is_missing_and_not_slow() -> None:
    case = Scripted("not there", Fault("error", "no such program"))
    case.baseline = True
    ran = run_closed([case], a_call())
    assert ran.samples == []
    assert "no such program" in ran.missing[0].why


def test_an_answer_from_another_place_is_refused() -> None:
    here = own()
    apart = Inside({**here.namespaces, "pid": "pid:[1]", "mnt": "mnt:[2]"}, here.boot, here.kernel)
    check_isolation(apart, "namespaces", "mnt:[2]")
    with pytest.raises(Fault, match="another place"):
        check_isolation(apart, "namespaces", "mnt:[3]")
    with pytest.raises(Fault, match="on this machine as it is"):
        check_isolation(here, "namespaces")


def test_a_sandbox_that_is_older_than_its_call_is_refused() -> None:
    here, now = own(), time.clock_gettime(time.CLOCK_BOOTTIME)
    spaces = {**here.namespaces, "pid": "pid:[1]"}
    check_new(Inside(spaces, here.boot, here.kernel, now), time.monotonic_ns())
    with pytest.raises(Fault, match="before it was asked for"):
        check_new(Inside(spaces, here.boot, here.kernel, now - 1), time.monotonic_ns())


def test_an_answer_belongs_to_its_task() -> None:
    task, other = Challenge(1 << 20, 1 << 21), Challenge(1 << 20, 1 << 22)
    answer = f"2 {task.a * task.b % 2_147_483_647} mnt:[1] 5\n"
    assert task.check_python(answer).clock == 5
    with pytest.raises(ValueError, match="expected"):
        other.check_python(answer)
