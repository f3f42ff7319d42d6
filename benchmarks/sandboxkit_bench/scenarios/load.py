"""Many starts: all at once, at times that were fixed before, and for long."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..case import Case
from ..challenge import Challenge
from ..closed import EXPECTED, fault_of, labels_of, opened
from ..contenders.docker_cli import DockerRun
from ..contenders.kit import KitStart
from ..probe import living
from ..samples import Finding, Sample
from ..scenario import Call, Ran
from ..stats import median, quantile
from ..trial import Fault, Trial, sample_of

__all__ = ["RAMP", "SOAK", "burst", "burst_title", "ramp", "soak"]

RAMP = "create to answer, at a rate"
SOAK = "create to answer, again and again"
DEADLINE = 60.0
CHECKED_AT_ONCE = 8


def burst_title(count: int) -> str:
    """The name of a burst's scenario."""
    return f"{count} at once, create to answer"


class Many:
    """Attempts of one case that overlap, in one event loop."""

    def __init__(self, case: Case, call: Call, load: str, rate: float | None = None) -> None:
        self._case, self._call = case, call
        self._labels = {"load": load, "rate": rate}
        self.trials: list[tuple[Trial, Fault | None]] = []
        self._checking = asyncio.Semaphore(CHECKED_AT_ONCE)

    async def launch(self, challenge: Challenge, intended: int) -> tuple[Trial, Fault | None]:
        """One attempt; its clock began when it was intended, whether we were ready or not."""
        trial = Trial(challenge, len(self.trials) + 1, DEADLINE)
        trial.mark("intended", intended)
        trial.mark("call")
        fault = None
        try:
            async with asyncio.timeout(DEADLINE):
                await self._case.launch(trial)
        except EXPECTED as error:
            fault = fault_of(error)
        self.trials.append((trial, fault))
        return trial, fault

    async def settle(self, trial: Trial, fault: Fault | None, block: int) -> Sample:
        """Check an attempt and end its sandbox."""
        async with self._checking:
            try:
                if isinstance(self._case, KitStart):
                    await self._case.destroy(trial)
                else:
                    self._case.verify(trial)
            except EXPECTED as error:
                fault = fault or fault_of(error)
        labels = labels_of(self._case, block, self._call.began, **self._labels)
        return sample_of(trial, labels, self._case.end, fault)


async def volley(case: Case, call: Call, count: int, block: int) -> list[Sample]:
    """All at once; they are checked and ended when all have answered."""
    many = Many(case, call, "burst")
    drawing = random.Random(call.seed + block)
    tasks = [Challenge.new(drawing) for _ in range(count)]
    gc.disable()
    try:
        now = time.monotonic_ns()
        await asyncio.gather(*(many.launch(one, now) for one in tasks))
    finally:
        gc.enable()
    call.tell(0.5)
    settled = await asyncio.gather(*(many.settle(*one, block) for one in many.trials))
    return judged(settled, [trial for trial, _ in many.trials])


def judged(samples: Sequence[Sample], trials: Sequence[Trial]) -> list[Sample]:
    """The samples; those whose sandbox has processes that are still there have failed."""
    spaces = {
        id(trial): trial.kept["inside"].namespaces.get("pid", "")
        for trial in trials
        if "inside" in trial.kept
    }
    left = living(set(spaces.values()), 2.0)
    out = []
    for sample, trial in zip(samples, trials, strict=True):
        if spaces.get(id(trial), "-") in left and not sample.failure:
            text = "processes outlived the confirmed end of their sandbox"
            sample = failed(sample, "leak", text)
        out.append(sample)
    return out


def failed(sample: Sample, kind: str, text: str) -> Sample:
    """The same attempt, after something was found to be wrong with it."""
    return replace(sample, value=None, failure=kind, detail=text)


def burst(count: int, volleys: int) -> Callable[[Call], Ran]:
    """So many at once, several times."""
    title = burst_title(count)

    def play(call: Call) -> Ran:
        ran = Ran()
        cases: list[Case] = [KitStart(call.settings, one, title) for one in call.settings.profiles]
        cases = [case for case in cases if case.isolation == "namespaces" or count <= 10]
        if call.settings.baselines and count <= 10:
            cases.append(DockerRun(call.settings, title))
        ready = opened(cases, ran.missing)
        try:
            for case in ready:
                for block in range(volleys):
                    ran.samples += asyncio.run(volley(case, call, count, block))
        finally:
            for case in ready:
                case.close()
        ran.tell(ready)
        return ran

    return play


class Nothing(Case):
    """An attempt that takes no time: what it shows is the harness."""

    contender = "nothing (the harness itself)"
    scenario = RAMP

    async def launch(self, trial: Trial) -> None:
        trial.mark("answered")

    def attempt(self, trial: Trial) -> None:
        trial.mark("answered")


async def paced(case: Case, call: Call, rate: float, seconds: float, block: int) -> list[Sample]:
    """An open loop: starts at times of a Poisson process, however long the ones before take."""
    many = Many(case, call, "open", rate)
    drawing = random.Random(call.seed * 1000 + block)
    samples: list[Sample] = []

    async def one(challenge: Challenge, intended: int) -> None:
        samples.append(await many.settle(*await many.launch(challenge, intended), block))

    running = []
    due = time.monotonic() + 0.05
    over = due + seconds
    while due < over:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        challenge = Challenge.new(drawing)
        running.append(asyncio.create_task(one(challenge, round(due * 1e9))))
        due += drawing.expovariate(rate)
    await asyncio.gather(*running)
    return samples


STEPS = (5, 10, 20, 30, 45, 65, 90)
"""Starts a second."""

KNEE = 5.0
"""A rate is too high when one attempt in twenty takes so many times the median at the lowest."""


def ramp(call: Call) -> Ran:
    """Higher and higher rates, to the one at which answers no longer come in time."""
    ran = Ran()
    cases: list[Case] = [
        KitStart(call.settings, one, RAMP)
        for one in call.settings.profiles
        if KitStart(call.settings, one, RAMP).isolation == "namespaces"
    ]
    each = call.seconds / (len(STEPS) * (len(cases) + 0.3))
    ready = opened([*cases, Nothing()], ran.missing)
    try:
        for case in ready:
            steps = [STEPS[-1]] if isinstance(case, Nothing) else list(STEPS)
            climbed: list[tuple[float, list[Sample]]] = []
            for block, rate in enumerate(steps):
                call.tell(block / len(steps))
                seconds = max(1.0, each if len(steps) > 1 else 2.0)
                samples = asyncio.run(paced(case, call, rate, seconds, block))
                climbed.append((rate, samples))
                ran.samples += samples
                if too_slow(climbed):
                    break
            ran.findings.append(told(case, climbed))
    finally:
        for case in ready:
            case.close()
    ran.tell(ready)
    return ran


def too_slow(climbed: list[tuple[float, list[Sample]]]) -> bool:
    """Whether the last rate is beyond the knee."""
    first = median([one.censored for one in climbed[0][1]])
    return quantile([one.censored for one in climbed[-1][1]], 0.95) > KNEE * first


def told(case: Case, climbed: list[tuple[float, list[Sample]]]) -> Finding:
    """In words, up to which rate answers came in time; of nothing, whether we are good enough."""
    last = quantile([one.censored for one in climbed[-1][1]], 0.99)
    if isinstance(case, Nothing):
        fine = "good enough" if last < 0.001 else "NOT good enough: figures at rates are too high"
        text = f"99 of 100 attempts that do nothing end within {last * 1000:.2f} ms: {fine}"
        return Finding("harness", RAMP, case.contender, text)
    kept = climbed[:-1] if too_slow(climbed) else climbed
    if not kept:
        return Finding("knee", RAMP, case.contender, f"not even {climbed[0][0]:g} a second")
    more = "" if kept is climbed else f", not {climbed[-1][0]:g}"
    text = (
        f"{kept[-1][0]:g} starts a second{more} on {os.cpu_count()} processors, with 19 of 20 "
        f"answers within {KNEE:g} times the median at {climbed[0][0]:g} a second"
    )
    return Finding("knee", RAMP, case.contender, text)


def soak(call: Call) -> Ran:
    """One sandbox after the other for long, in blocks; what we ourselves hold must not grow."""
    ran = Ran()
    cases: list[Case] = [KitStart(call.settings, one, SOAK) for one in call.settings.profiles]
    ready = opened(cases, ran.missing)
    try:
        for case in ready:
            ran.add(soaked(case, call, call.seconds / len(ready)))
    finally:
        for case in ready:
            case.close()
    ran.tell(ready)
    return ran


def soaked(case: Case, call: Call, seconds: float) -> Ran:
    """The soak of one case."""
    ran = Ran()
    drawing = random.Random(call.seed)
    before, start = held(), time.monotonic()
    number = 0
    while (spent := time.monotonic() - start) < seconds:
        call.tell(spent / seconds)

        tasks = [Challenge.new(drawing) for _ in range(SOAKED)]
        ran.samples += asyncio.run(cycles(case, call, tasks, number // SOAKED))
        number += SOAKED
    after = held()
    text = ", ".join(f"{what}: {before[what]} before, {after[what]} after" for what in before)
    grown = after["descriptors"] > before["descriptors"] + 3
    kind = "leak" if grown else "held"
    ran.findings.append(Finding(kind, SOAK, case.contender, f"{number} cycles; {text}"))
    return ran


SOAKED = 20
"""Cycles of a block."""


async def cycles(case: Case, call: Call, tasks: list[Challenge], block: int) -> list[Sample]:
    """One sandbox after the other."""
    many = Many(case, call, "soak")
    return [
        await many.settle(*await many.launch(task, time.monotonic_ns()), block) for task in tasks
    ]


def held() -> dict[str, int]:
    """What this process holds, and how many processes there are on the machine."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes of the machine": sum(name.isdigit() for name in os.listdir("/proc")),
    }
