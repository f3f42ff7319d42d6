"""What a reader must know before they believe a figure, found in the samples."""

from __future__ import annotations

from collections import Counter

from sandboxkit import Sandbox

from .results import Results
from .samples import CaseInfo, Finding, Sample
from .settings import Settings
from .stats import median, wilson

__all__ = ["left_over", "observed"]

FEWEST = 6
"""Samples below which nothing is concluded from times."""

WORDS = {
    "timeout": "did not end in time",
    "error": "raised an error",
    "verify": "brought a wrong answer",
    "reuse": "were given a sandbox that was in use before",
    "twins": "drew the same random numbers as another sandbox",
    "isolation": "did not run where it was said",
    "leak": "left something behind",
    "died": "were gone when they were looked at again",
}


def observed(results: Results) -> list[Finding]:
    """What the samples of each case show."""
    found: list[Finding] = []
    for case in results.cases:
        samples = results.of(case.scenario, case.contender)
        found += failures(case, samples)
        if case.unit == "s":
            found += stalls(case, samples)
        found += early(case, samples)
        found += pooled(case, samples)
    return found


def pooled(case: CaseInfo, samples: list[Sample]) -> list[Finding]:
    """How many of those that might take a sandbox that stood ready found one."""
    taken = [one.extra["stood_ready"] for one in samples if "stood_ready" in one.extra]
    if case.start_class != "pooled" or not taken:
        return []
    text = f"{sum(taken):.0f} of {len(taken)} took one that stood ready, the others a new one"
    return [Finding("pool", case.scenario, case.contender, text)]


def failures(case: CaseInfo, samples: list[Sample]) -> list[Finding]:
    """A finding for each kind of failure."""
    counts = Counter(one.failure for one in samples if one.failure)
    found = []
    for kind, count in counts.items():
        low, high = wilson(count, len(samples))
        first = next(one.detail for one in samples if one.failure == kind)
        text = (
            f"{count} of {len(samples)} {WORDS[kind]} ({low:.0%} to {high:.0%}, at 95 %); "
            f"the first: {first}"
        )
        found.append(Finding(kind, case.scenario, case.contender, text))
    return found


def stalls(case: CaseInfo, samples: list[Sample]) -> list[Finding]:
    """Attempts that took far longer than the others."""
    values = [one.value for one in samples if one.value is not None]
    if len(values) < FEWEST:
        return []
    middle = median(values)
    bound = max(5 * middle, middle + 0.2)
    slow = [value for value in values if value > bound]
    if not slow:
        return []
    text = (
        f"{len(slow)} of {len(values)} took more than {bound * 1000:.0f} ms, where half take "
        f"{middle * 1000:.1f} ms or less; the longest took {max(slow):.2f} s"
    )
    return [Finding("stalls", case.scenario, case.contender, text)]


def early(case: CaseInfo, samples: list[Sample]) -> list[Finding]:
    """A sandbox that is handed out before it can be used."""
    pairs = [
        (one.marks["exit_known"] - one.marks["exec_sent"], one.extra["again"])
        for one in samples
        if one.value is not None and "again" in one.extra and "exec_sent" in one.marks
    ]
    if len(pairs) < FEWEST:
        return []
    first, again = median([one for one, _ in pairs]), median([other for _, other in pairs])
    if first < 4 * again or first - again < 0.02:
        return []
    text = (
        f"the first command takes {first * 1000:.0f} ms, the same once more {again * 1000:.0f} ms: "
        "`create` returns before there is anything to use. The figures here include the wait"
    )
    return [Finding("early", case.scenario, case.contender, text)]


def left_over(settings: Settings) -> list[Finding]:
    """Sandboxes of this run that are still listed when all have been killed."""
    found = []
    for profile in settings.profiles:
        left = Sandbox.list(profile, session=settings.token)
        if left:
            names = ", ".join(one.address for one in left[:3])
            text = f"{len(left)} sandboxes of this run are still listed: {names}"
            found.append(Finding("leak", "", f"sandboxkit {profile}", text))
    return found
