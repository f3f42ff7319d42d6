"""The statistics: that they keep failures, and say when they do not know."""

from __future__ import annotations

import math
import random

from sandboxkit_bench.stats import percentile, ratio_interval, verdict, wilson


def drawn(seed: int, middle: float, blocks: int = 40) -> dict[int, list[float]]:
    drawing = random.Random(seed)
    return {block: [drawing.lognormvariate(math.log(middle), 0.3)] for block in range(blocks)}


def test_failures_stay_in_the_quantiles() -> None:
    values = [0.01] * 90 + [math.inf] * 10
    assert percentile(values, 50) == 0.01
    assert percentile(values, 95) == math.inf


def test_a_percentile_needs_samples_beyond_it() -> None:
    assert percentile([0.01] * 59, 95) is None
    assert percentile([0.01] * 60, 95) == 0.01
    assert percentile([0.01] * 299, 99) is None


def test_a_case_compared_with_itself_has_no_difference_in_19_of_20_runs() -> None:
    """A/A: both sides are drawn from the same distribution."""
    runs = [
        ratio_interval(drawn(2 * seed, 0.01), drawn(2 * seed + 1, 0.01), resamples=200)
        for seed in range(100)
    ]
    right = sum(one.low <= 1 <= one.high for one in runs)
    assert right >= 89, f"{right} of {len(runs)} intervals contain 1"


def test_a_minute_in_which_the_machine_was_busy_weighs_on_both() -> None:
    noise = [10.0 if block % 3 == 0 else 1.0 for block in range(40)]
    fast = {block: [0.01 * factor] for block, factor in enumerate(noise)}
    slow = {block: [0.05 * factor] for block, factor in enumerate(noise)}
    ratio = ratio_interval(slow, fast)
    assert ratio.value == 5.0
    assert 4.99 < ratio.low <= ratio.high < 5.01


def test_the_words_are_those_that_the_interval_allows() -> None:
    assert verdict(ratio_interval(drawn(1, 0.05), drawn(2, 0.01))) == "slower"
    assert verdict(ratio_interval(drawn(1, 0.01), drawn(2, 0.05))) == "faster"
    assert verdict(ratio_interval(drawn(1, 0.01, 400), drawn(2, 0.01, 400))) == "tied"
    assert verdict(ratio_interval(drawn(1, 0.01, 7), drawn(2, 0.05, 7))) == "not enough data"


def test_a_share_of_no_failures_is_not_certainty() -> None:
    low, high = wilson(20, 20)
    assert low < 0.9
    assert high == 1.0
