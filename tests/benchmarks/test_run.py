"""A run of scenarios: its time, its progress, and what it passes on."""

from __future__ import annotations

import pytest

from sandboxkit_bench.run import LEAST, hurried, left
from sandboxkit_bench.scenario import Ran, Scenario


def nothing(call: object) -> Ran:
    return Ran()


def test_what_is_late_is_shortened_and_never_left_out() -> None:
    one = Scenario("x", "x", nothing, seconds=20)
    assert hurried(one, asked=100, left=120) is one
    assert hurried(one, asked=100, left=50).seconds == pytest.approx(10)
    assert hurried(one, asked=100, left=-5).seconds == pytest.approx(20 * LEAST)


def test_what_remains_is_told_by_how_it_went() -> None:
    assert left(100, done=0, spent=3) == 100
    assert left(100, done=50, spent=100) == 200
    assert left(100, done=50, spent=25) == 100


def test_a_shorter_run_has_fewer_rounds() -> None:
    short = Scenario("x", "x", nothing, seconds=20, rounds=60, starts=100).scaled(0.1)
    assert (short.seconds, short.rounds, short.starts) == (2.0, 6, 10)
