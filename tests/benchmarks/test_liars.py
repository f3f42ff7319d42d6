"""Every provider that lies is caught by a run of the suite, and one that does not is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxkit import Sandbox
from sandboxkit_bench.closed import run_closed
from sandboxkit_bench.contenders.kit import KitStart
from sandboxkit_bench.findings import left_over, observed
from sandboxkit_bench.results import Results
from sandboxkit_bench.scenario import Call
from sandboxkit_bench.scenarios.starts import Ready
from sandboxkit_bench.settings import Settings
from tests.benchmarks import liars

ROUNDS = 10

CAUGHT = {
    "early": "early",
    "caching": "verify",
    "reusing": "reuse",
    "dropping": "error",
    "pausing": "stalls",
    "leaking": "leak",
    "from-the-host": "isolation",
    "elsewhere": "reuse",
    "twins": "twins",
}
"""By liar, what it must be found to do."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("site")
    liars.register(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(directory))
        yield


def findings_of(profile: str, cases: list[KitStart], settings: Settings) -> set[str]:
    """What a short run finds."""
    call = Call(settings, seed=1, began=0.0, seconds=30, rounds=ROUNDS)
    for case in cases:
        case.patience = 0.2
    try:
        ran = run_closed(cases, call)
    finally:
        for hidden in Sandbox.list("local", session=settings.token):
            Sandbox.connect(hidden.address).kill()
    results = Results(1, "", "", 0.0, 1, f"sandboxkit {profile}")
    results.cases, results.samples = ran.cases, ran.samples
    assert not ran.missing
    return {found.kind for found in [*observed(results), *left_over(settings)]}


def cases_of(profile: str, settings: Settings) -> list[KitStart]:
    if profile == "twins":
        return [KitStart(settings, profile, "start")]
    if profile in ("from-the-host", "elsewhere"):
        return [KitStart(settings, profile, "start", how="python3 -c")]
    return [Ready(settings, profile)]


@pytest.mark.parametrize("profile", CAUGHT)
def test_a_provider_that_lies_is_caught(profile: str, installed: None) -> None:
    settings = Settings((profile,))
    assert CAUGHT[profile] in findings_of(profile, cases_of(profile, settings), settings)


def test_one_that_does_not_lie_is_not(installed: None) -> None:
    settings = Settings(("honest",))
    cases = [Ready(settings, "honest"), KitStart(settings, "honest", "start")]
    found = findings_of("honest", cases, settings)
    assert found <= {"stalls"}, found  # this machine may stall, and then it is right to say so
